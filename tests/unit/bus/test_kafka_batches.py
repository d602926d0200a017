"""How what is published becomes batches, and answers become places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.bus.kafka.producer import BATCH_BYTES, batches_of, places_of
from streambackup.bus.kafka.sending import Batch
from streambackup.bus.kafka.topics import TopicFacts
from streambackup.bus.port import Outgoing, Placed
from streambackup.errors import BusError, TopicError

LIMIT = 2_000


def facts(limit: int = LIMIT) -> dict[str, TopicFacts]:
    return {"t": TopicFacts(3, 1, True, limit, {}, frozenset())}


records = st.lists(
    st.builds(
        lambda partition, size: Outgoing("t", b"k", bytes(size), partition),
        st.integers(0, 2),
        st.integers(0, LIMIT - 101),
    ),
    max_size=40,
)


@given(records)
def test_every_record_is_in_one_batch_that_its_topic_takes(published: list[Outgoing]) -> None:
    batches = batches_of(published, facts())
    assert sorted(i for batch in batches for i in batch.indexes) == [*range(len(published))]
    for batch in batches:
        chosen = [published[index] for index in batch.indexes]
        assert {record.partition for record in chosen} == {batch.partition}
        assert sum(101 + len(record.value or b"") for record in chosen) <= LIMIT


@given(records)
def test_a_partition_keeps_its_order_over_batches_and_places(published: list[Outgoing]) -> None:
    batches = batches_of(published, facts())
    ends = dict.fromkeys(range(3), 1000)
    offsets = []
    for batch in batches:
        offsets.append(ends[batch.partition])
        ends[batch.partition] += len(batch.indexes)
    expected = dict.fromkeys(range(3), 1000)
    for record, place in zip(published, places_of(batches, offsets), strict=True):
        assert record.partition is not None
        assert place == Placed(record.partition, expected[record.partition])
        expected[record.partition] += 1


def test_partitions_take_turns() -> None:
    published = [Outgoing("t", b"k", bytes(1500), partition) for partition in (0, 0, 0, 1, 2, 1)]
    batches = batches_of(published, facts())
    assert [(b.partition, b.indexes) for b in batches] == [
        *((0, [0]), (1, [3]), (2, [4])),
        *((0, [1]), (1, [5])),
        (0, [2]),
    ]


def test_a_batch_is_no_larger_than_a_consumer_fetches_at_once() -> None:
    published = [Outgoing("t", b"k", bytes(BATCH_BYTES // 2), 0)] * 2
    assert len(batches_of(published, facts(100 * BATCH_BYTES))) == 2


def test_a_record_that_no_batch_holds_is_refused() -> None:
    with pytest.raises(TopicError, match="more than t takes"):
        batches_of([Outgoing("t", b"k", bytes(LIMIT), 0)], facts())


def test_a_place_that_the_broker_does_not_tell_is_an_error() -> None:
    with pytest.raises(BusError, match="place"):
        places_of([Batch("t", 0, [0])], [-1])
