"""Which partition a record goes to: the same as with every other client of Kafka."""

from __future__ import annotations

import pytest

from streambackup.bus.port import Outgoing, partition_of, place
from streambackup.errors import TopicError

# From the tests of Kafka's own client, made positive and taken modulo a large prime.
MURMUR2 = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
PRIME = 1_000_003


@pytest.mark.parametrize("key", MURMUR2)
def test_keys_are_hashed_as_by_kafka(key: bytes) -> None:
    assert partition_of(key, PRIME) == (MURMUR2[key] & 0x7FFFFFFF) % PRIME


def test_a_named_partition_wins_over_the_key() -> None:
    assert place(Outgoing("t", b"abc", b"v", 3), 4) == 3


@pytest.mark.parametrize("partition", [-1, 4])
def test_a_partition_that_is_not_there_is_refused(partition: int) -> None:
    with pytest.raises(TopicError, match="partitions 0 to 3"):
        place(Outgoing("t", b"abc", b"v", partition), 4)
