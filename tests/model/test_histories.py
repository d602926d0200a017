"""The fold against the model, on random streams cut into batches anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streambackup.testing.epochs import fold_records
from streambackup.testing.events import MOMENT_MS
from streambackup.testing.model import model_account, model_accounts, seen_by_user
from tests.model.streams import IGNORED, cuts, streams


@given(st.data())
def test_histories_are_the_models_whatever_the_batches(data: st.DataObject) -> None:
    records = data.draw(streams())
    for account in model_accounts(records):
        wanted = model_account(records, account, moment_ms=MOMENT_MS, ignored_attributes=IGNORED)
        found = fold_records(
            records, data.draw(cuts(records)), account=account, ignored_attributes=IGNORED
        )
        assert seen_by_user(found) == wanted.items
