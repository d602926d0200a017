"""The fold against the model: random streams, cut into batches anywhere, by several epochs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.entry import Entry
from streambackup.domain.finding import FindingClass
from streambackup.domain.fold import fold
from streambackup.domain.history import AccountHistory
from streambackup.domain.partition_event import PartitionEvent
from streambackup.domain.transaction import TransactionId
from streambackup.journal.line import Line
from streambackup.testing.epochs import (
    elements_of,
    epoch_name,
    fold_records,
    gap_segment,
    segment,
    stream_of,
)
from streambackup.testing.events import MOMENT_MS, TIME_MS
from streambackup.testing.memory_bus import MemoryRecord
from streambackup.testing.model import ModelAccount, model_account, model_accounts
from streambackup.testing.model_state import seen_by_user
from tests.model.streams import IGNORED, Epoch, cuts, epochs, streams


def modelled(
    records: Sequence[MemoryRecord], account: str, until: TransactionId | None = None
) -> ModelAccount:
    return model_account(
        records, account, moment_ms=MOMENT_MS, ignored_attributes=IGNORED, until=until
    )


def folded_by(
    records: Sequence[MemoryRecord], written: Sequence[Epoch], account: str
) -> AccountHistory:
    """The histories from the union of what several epochs wrote."""
    segments = [
        segment(records[e.first : e.next], e.cuts, epoch=epoch_name(e.number, writer))
        for writer, e in enumerate(written)
    ]
    stream = stream_of(segments, account)
    return fold(account, stream, moment_ms=MOMENT_MS, ignored_attributes=IGNORED)


@given(st.data())
def test_histories_are_the_models_whatever_the_batches(data: st.DataObject) -> None:
    """A pure function of the stream: where fetches ended makes no difference."""
    records = data.draw(streams())
    for account in model_accounts(records):
        found = fold_records(
            records, data.draw(cuts(records)), account=account, ignored_attributes=IGNORED
        )

        assert seen_by_user(found) == modelled(records, account).items


@given(st.data())
def test_doubts_and_conflicts_are_the_models(data: st.DataObject) -> None:
    """Late, many-item and quarantined records, holes, and ids that came with other content."""
    records = data.draw(streams())
    for account in model_accounts(records):
        wanted = modelled(records, account)
        found = fold_records(records, data.draw(cuts(records)), account=account)

        holes = [doubt for doubt in found.doubts if "never came" in doubt.reason]
        others = {d.position.offset for d in found.doubts if d.position and d not in holes}
        assert others == wanted.doubts
        assert bool(holes) == bool(wanted.missing)
        assert {
            finding.what.split()[0]
            for finding in found.findings
            if finding.finding is FindingClass.CONFLICTING_TRANSACTION
        } == {str(id) for id in wanted.conflicts}


@given(st.data())
def test_overlapping_epochs_fold_to_the_same_histories(data: st.DataObject) -> None:
    """It does not matter which epoch serves an offset, whatever each had cut where."""
    records = data.draw(streams())
    written = data.draw(epochs(len(records)))
    for account in model_accounts(records):
        found = folded_by(records, written, account)

        assert seen_by_user(found) == modelled(records, account).items


@given(st.data())
def test_a_gap_counts_only_where_no_epoch_has_the_record(data: st.DataObject) -> None:
    """One epoch has every record, another notes a gap anywhere among them."""
    records = data.draw(streams())
    first = data.draw(st.integers(0, len(records) - 1))
    end = data.draw(st.integers(first + 1, len(records)))
    whole = segment(records, data.draw(cuts(records)))
    gap = gap_segment(first, end, epoch=epoch_name(data.draw(st.integers(1, 2)), writer=1))

    for account in model_accounts(records):
        stream = stream_of([whole, gap], account)

        assert stream == stream_of([whole], account)


@pytest.mark.row("F004", part="any transaction, folded")
@given(st.data())
def test_the_account_after_any_transaction_is_the_models(data: st.DataObject) -> None:
    """Every past transaction can be restored, and the batches make no difference to it either."""
    records = data.draw(streams())
    for account in model_accounts(records):
        whole = segment(records, data.draw(cuts(records)))
        stream = stream_of([whole], account)
        ids = {member.id for e in stream if isinstance(e, Entry) for member in e.members}
        for id in sorted(ids):
            if id.source.startswith("marker."):
                continue
            found = fold(account, stream, moment_ms=MOMENT_MS, ignored_attributes=IGNORED, until=id)

            assert seen_by_user(found) == modelled(records, account, id).items


@pytest.mark.row("F005")
@given(st.data())
def test_one_state_is_valid_at_any_instant_of_a_life(data: st.DataObject) -> None:
    """The state at an instant is the one that a search through the model's finds, and no other."""
    records = data.draw(streams())
    instants = st.integers(TIME_MS - 50, TIME_MS + 500_000)
    for account in model_accounts(records):
        wanted = modelled(records, account).items
        found = fold_records(records, account=account, ignored_attributes=IGNORED)
        for name, item in found.items.items():
            borders = [state.start_ms for state in item.states if not state.late]
            near = [border + by for border in borders for by in (-1, 0, 1)]
            for instant_ms in [*near, *data.draw(st.lists(instants, max_size=5))]:
                valid = [
                    state
                    for state in wanted[name]
                    if not state.late
                    and state.start_ms <= instant_ms
                    and (state.end_ms is None or instant_ms < state.end_ms)
                ]
                at = item.at(instant_ms)

                assert len(valid) == (instant_ms >= min(borders, default=instant_ms + 1))
                assert (at and at.transactions) == (valid[0].transactions if valid else None)


@given(st.data())
def test_states_that_are_not_late_follow_each_other_without_hole(data: st.DataObject) -> None:
    """Each begins where the one before it ends; the last has no end."""
    records = data.draw(streams())
    for account in model_accounts(records):
        for item in fold_records(records, account=account).items.values():
            states = [state for state in item.states if not state.late]
            starts = [state.start_ms for state in states]

            assert [state.end_ms for state in states] == [*starts[1:], None][: len(states)]
            assert starts == sorted(starts)


@pytest.mark.row("M2", part="same state")
@given(streams())
def test_coalescing_leaves_every_item_as_it_would_be_without(records: list[MemoryRecord]) -> None:
    """Fewer states on the way, the same one at the end."""
    for account in model_accounts(records):
        coalesced = fold_records(records, account=account)
        apart = fold_records(records, account=account, moment_ms=0)

        assert {
            name: (item.current.state, item.current.deleted, item.current.digest)
            for name, item in coalesced.items.items()
            if item.current is not None
        } == {
            name: (item.current.state, item.current.deleted, item.current.digest)
            for name, item in apart.items.items()
            if item.current is not None
        }


@given(st.data())
def test_every_offset_is_met_once(data: st.DataObject) -> None:
    """The union hands out each record once and every record, in the order of their entries."""
    records = data.draw(streams())
    written = data.draw(epochs(len(records)))
    segments = [
        segment(records[e.first : e.next], e.cuts, epoch=epoch_name(e.number, writer))
        for writer, e in enumerate(written)
    ]
    elements = elements_of(segments)
    lines = [element for element in elements if isinstance(element, Line)]
    events = [element for element in elements if isinstance(element, PartitionEvent)]
    offsets = [offset for line in lines for offset in line.offsets()]

    assert sorted([*offsets, *(event.position.offset for event in events)]) == [
        record.offset for record in records
    ]
