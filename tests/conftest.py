"""What every test shares: hypothesis profiles, quiet logs, and the real parts that some need."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests import real_parts

if TYPE_CHECKING:
    from tests.support.secure_kafka import SecureKafka

PARTS = pytest.StashKey[real_parts.RealParts]()

pytest.register_assert_rewrite("tests.support")
settings.register_profile(
    "quick", deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", settings.get_profile("quick"), max_examples=5_000)
# CI tries the same examples each time: what it says of a change is about the change.
settings.register_profile("ci", settings.get_profile("quick"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "quick")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--start-parts",
        action="store_true",
        help="install and start the real parts that the selected tests need (scripts/test does)",
    )


def pytest_configure(config: pytest.Config) -> None:
    parts = real_parts.from_environment(may_start=config.getoption("--start-parts"))
    config.stash[PARTS] = parts
    config.add_cleanup(parts.release)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have the parts ready before the first test, outside of any test's time limit."""
    if not session.config.option.collectonly:
        needed = {name for item in session.items for name in real_parts.needed(item)}
        session.config.stash[PARTS].prepare(needed)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in sorted(real_parts.needed(item)):
        item.config.stash[PARTS].check(name)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, object, object]:
    """What was not proven stands last, behind everybody else's summary."""
    result = yield
    for line in terminalreporter.config.stash[PARTS].report():
        terminalreporter.write_line(line, red=True, bold=True)
    return result


@pytest.fixture(autouse=True)
def _logs_end_with_their_test() -> Iterator[None]:
    """A command run in this process sends logs to a stream that its test closes behind it."""
    yield
    structlog.reset_defaults()
    libraries = logging.getLogger()
    libraries.setLevel(logging.WARNING)
    for handler in list(libraries.handlers):
        if type(handler).__module__.startswith("streambackup."):
            libraries.removeHandler(handler)


@pytest.fixture(scope="session")
def kafka_address(request: pytest.FixtureRequest) -> str:
    """Bootstrap address of the real broker."""
    return str(request.config.stash[PARTS].running[real_parts.KAFKA]["address"])


@pytest.fixture(scope="session")
def secure_kafka(request: pytest.FixtureRequest) -> SecureKafka:
    """The real broker with encrypted listeners, users and rights."""
    from tests.support.secure_kafka import SecureKafka  # After its assertions are seen to.

    status = request.config.stash[PARTS].running[real_parts.SECURE_KAFKA]
    return SecureKafka(
        open_address=status["address"],
        listeners=status["listeners"],
        folder=Path(status["folder"]),
    )
