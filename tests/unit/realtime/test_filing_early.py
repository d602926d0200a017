"""The filer gets work as soon as it has none and there is enough, not only at the end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streambackup.bus.port import TopicPartition
from streambackup.errors import NoSpaceError, StoreError
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.cover import Cover
from streambackup.journal.life import Life
from streambackup.journal.owner import PartitionOwner, StoreIdentity
from streambackup.journal.segment import PartitionPath
from streambackup.realtime.account_worker import (
    FILINGS_AHEAD,
    AccountWorker,
    SegmentSettings,
)
from streambackup.realtime.filing import Filed, FilingRequest
from streambackup.realtime.takeover import Start, Taken, Verdict
from streambackup.realtime.turn import Turn
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics
from streambackup.testing.events import GENERATION, MOMENT_MS, PartitionLog, put
from tests.support.manual_clock import ManualClock

SEGMENT_BYTES = 80_000
WORTH_FILING = SEGMENT_BYTES // 8
IDENTITY = StoreIdentity(store="s", node="n", moment_ms=MOMENT_MS, ignored_attributes=())
LIFE = Life(
    generation=GENERATION,
    number=1,
    predecessor=None,
    partitions=1,
    blob_partitions=1,
    transactions_topic=TRANSACTIONS,
    blobs_topic="mailbox.blobs",
)


FILED = Filed(1, 1, 0, 0, 1, (), ())


class Rig:
    """A worker with a turn at each of a few partitions, and a filer that takes what it is given."""

    def __init__(self, root: Path, partitions: int) -> None:
        self.asked: list[FilingRequest] = []
        self.filings: list[asyncio.Future[Filed]] = []
        self.is_quick = False
        self.worker = AccountWorker(
            root=root,
            moment_ms=MOMENT_MS,
            disk=Disk(),
            clock=ManualClock(),
            settings=SegmentSettings(segment_bytes=SEGMENT_BYTES),
            metrics=Metrics(),
            filer=self._file,
        )
        self.turns = [self._turn(root, partition) for partition in range(partitions)]

    def _turn(self, root: Path, partition: int) -> Turn:
        path = PartitionPath(root, GENERATION, TRANSACTIONS, partition)
        owner = PartitionOwner(path, Disk(), IDENTITY, 1, Cover())
        taken = Taken(owner, LIFE, Start(Verdict.GO_ON, 0), filed_to=0)
        turn = Turn(TopicPartition(TRANSACTIONS, partition), taken)
        self.worker.began(turn, 0)
        return turn

    def _file(self, request: FilingRequest) -> asyncio.Future[Filed]:
        self.asked.append(request)
        self.filings.append(asyncio.get_running_loop().create_future())
        if self.is_quick:
            self.filings[-1].set_result(FILED)
        return self.filings[-1]

    async def journal(self, sizes: list[int]) -> None:
        """Give each partition one transaction of about so many bytes, none where it is 0."""
        for turn, size in zip(self.turns, sizes, strict=True):
            if size:
                log = PartitionLog([put("1", 1, subject="x" * size)] * (turn.owner.position + 1))
                self.worker.take([(turn, log.records[-1:])])
        await self.worker.tick(self.turns)

    def partitions_asked(self) -> list[int]:
        return [request.where.partition for request in self.asked]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path, FILINGS_AHEAD + 2)


async def test_an_idle_filer_gets_the_biggest_segments_first(rig: Rig) -> None:
    await rig.journal([WORTH_FILING * size for size in (1, 5, 0, 4, 3, 2)])

    assert rig.partitions_asked() == [1, 3, 4, 5]
    assert rig.turns[0].owner.segment_bytes > 0


async def test_a_filer_that_has_enough_to_do_gets_no_more(rig: Rig) -> None:
    await rig.journal([WORTH_FILING] * 6)
    await rig.worker.tick(rig.turns)

    assert len(rig.asked) == FILINGS_AHEAD

    rig.filings[0].set_result(FILED)
    await rig.worker.tick(rig.turns)

    assert len(rig.asked) == FILINGS_AHEAD + 1


async def test_a_little_waits_until_its_segment_is_full_or_old(rig: Rig) -> None:
    await rig.journal([WORTH_FILING // 2] * 6)

    assert rig.asked == []


async def test_a_full_segment_is_filed_however_much_there_is_to_do(rig: Rig) -> None:
    await rig.journal([SEGMENT_BYTES] * 6)

    assert rig.partitions_asked() == [0, 1, 2, 3, 4, 5]


async def test_a_filing_that_failed_keeps_no_other_partition_from_its_own(rig: Rig) -> None:
    """At the end, when nobody comes back to them."""
    await rig.journal([3 * WORTH_FILING, 2 * WORTH_FILING, 1_000, 1_000, 0, 0])
    died = StoreError("the filing process died")
    rig.filings[0].set_exception(died)
    rig.filings[1].set_result(FILED)
    rig.is_quick = True

    with pytest.raises(StoreError) as caught:
        await rig.worker.ended(rig.turns, drained=True)
    assert caught.value is died
    assert rig.partitions_asked() == [0, 1, 2, 3]
    assert all(turn.owner.segment_bytes == 0 for turn in rig.turns)


async def test_an_epoch_whose_filing_failed_does_not_file_at_its_end(rig: Rig) -> None:
    """What a sync failed for is still read, with its line end, and is gone after a power cut: the
    next line would be glued to it.
    """
    await rig.journal([3 * WORTH_FILING, 0, 0, 0, 0, 0])
    rig.filings[0].set_exception(StoreError("input/output error"))
    with pytest.raises(StoreError):
        await rig.worker.tick(rig.turns)
    await rig.worker.ended(rig.turns, drained=True)

    assert rig.partitions_asked() == [0]


@pytest.mark.parametrize("drained", [False, True])
async def test_an_epoch_whose_filing_found_no_space_files_no_more(rig: Rig, drained: bool) -> None:
    """Its logs may end in half a line; behind that the check would find a damaged one."""
    await rig.journal([3 * WORTH_FILING, 0, 0, 0, 0, 0])
    await rig.journal([2 * WORTH_FILING, 0, 0, 0, 0, 0])
    rig.filings[0].set_exception(NoSpaceError("no space left"))
    if drained:
        await rig.worker.ended(rig.turns, drained=True)
    else:
        (outcome,) = await rig.worker.tick(rig.turns)
        assert outcome.full is not None

    assert rig.partitions_asked() == [0]
