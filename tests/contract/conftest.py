"""The contracts assert as visibly as the tests that inherit them."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.bus_contract",
    "tests.contract.bus_consumer_contract",
    "tests.contract.bus_group_contract",
    "tests.contract.bus_rig",
    "tests.contract.source_contract",
)
