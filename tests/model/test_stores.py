"""A store under owners that come and go, filers that are late, and a disk that loses its power.

Whatever happens, what a reader finds is what the model makes of the records up to some offset, none
of those that were acknowledged missing; and the next owner brings the store to what it would have
been, had nothing happened.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.domain.partition_event import PartitionEvent
from streambackup.errors import NoSpaceError
from streambackup.journal.owner import PartitionOwner
from streambackup.reading.fingerprint import fingerprint, first_difference
from streambackup.realtime.filing import FilingRequest, file_partition
from streambackup.realtime.retiring import Retiring
from streambackup.testing.events import MOMENT_MS
from streambackup.testing.lossy_disk import LossyDisk, PowerCutError
from streambackup.testing.memory_bus import MemoryRecord
from streambackup.testing.model import model_account
from streambackup.testing.model_state import seen_by_user
from streambackup.testing.partition_store import PartitionStore
from tests.model.streams import ACCOUNTS, IGNORED, cuts, streams

FEWER = settings(max_examples=max(1, settings().max_examples // 2))
STEPS_MAX = 30


def new_store(root: Path) -> tuple[PartitionStore, LossyDisk]:
    """On a disk that can lose its power, and waits for no real one."""
    PartitionStore(root, ignored=IGNORED)
    disk = LossyDisk(root)
    return PartitionStore(root, disk, ignored=IGNORED), disk


class _World:
    """A store, whoever works on it, and what they have promised."""

    def __init__(self, root: Path, records: list[MemoryRecord], data: st.DataObject) -> None:
        self.store, self.disk = new_store(root)
        self.records = records
        self.owners: list[PartitionOwner] = []
        self.requests: list[FilingRequest] = []
        self.acknowledged = 0
        self._data = data

    def draw_number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def step(self) -> None:
        """Something happens; half done, if the disk fails meanwhile."""
        trouble = self.draw_number(0, 9)
        if trouble == 0:
            self.disk.dies_at = self.disk.steps + self.draw_number(1, STEPS_MAX)
        elif trouble == 1:
            self.disk.full_at_write = self.disk.writes + self.draw_number(1, 4)
        what = self._data.draw(st.sampled_from(self._happenings()))
        try:
            what()
        except PowerCutError:
            self._end(power=self._data.draw(st.booleans()))
        except NoSpaceError:
            self._end(power=False)
        if trouble < 2:
            self.disk.make_space()
            self.disk.dies_at = None

    def _happenings(self) -> list[Callable[[], None]]:
        happenings = [self.take_over, self.lose_power, self.kill]
        if self.owners:
            happenings += [
                self.journal,
                self.journal,
                self.journal,
                self.ask,
                self.file,
                self.retire,
            ]
        return happenings

    def an_owner(self) -> PartitionOwner:
        """Any that still works: all but the last are zombies."""
        return self._data.draw(st.sampled_from(self.owners))

    def take_over(self) -> None:
        self.owners.append(self.store.own())

    def journal(self) -> None:
        owner = self.an_owner()
        end = self.draw_number(0, len(self.records))
        for batch_end in sorted({*self._data.draw(cuts(self.records)), end}):
            if owner.position < batch_end <= end:
                self.store.append(owner, self.records[owner.position : batch_end])
                self.acknowledged = max(self.acknowledged, owner.position)

    def ask(self) -> None:
        """Seal a segment and ask for its filing, which is done some time."""
        owner = self.an_owner()
        if owner.position > 0:
            self.requests.append(self.store.request(owner))

    def file(self) -> None:
        self.ask()
        if self.requests:
            at = self.draw_number(0, len(self.requests) - 1)
            file_partition(self.requests.pop(at), self.disk)

    def retire(self) -> None:
        owner = self.an_owner()
        Retiring(self.store.path, self.disk, owner.epoch).retire(0, 0)

    def kill(self) -> None:
        self._end(power=False)

    def lose_power(self) -> None:
        self._end(power=True)

    def _end(self, *, power: bool) -> None:
        """Everybody is gone."""
        self.owners.clear()
        self.requests.clear()
        if power:
            self.disk.crash(self.draw_number(0, 1_000))
        else:
            self.disk.revive()

    def look(self) -> None:
        """A reader finds a prefix of the records, whole, and nothing that was promised missing."""
        reader = self.store.reader()
        seen: set[int] = set()
        for account in ACCOUNTS:
            for element in reader.stream(account, []):
                if isinstance(element, Entry):
                    seen.update(member.offset for member in element.members)
                else:
                    seen.update(range(element.position.offset, element.end))
        reach = max(seen, default=-1) + 1
        for account in ACCOUNTS:
            wanted = model_account(
                self.records[:reach], account, moment_ms=MOMENT_MS, ignored_attributes=IGNORED
            )
            history = reader.examine(account)
            assert seen_by_user(history) == wanted.items
        named = [r.offset for r in self.records if r.key is not None or r.value is None]
        assert reach >= max(
            (offset + 1 for offset in named if offset < self.acknowledged), default=0
        )

    def finish(self) -> None:
        """The next owner does what is left to do."""
        self.disk.revive()
        owner = self.store.own()
        self.store.journal(owner, self.records)
        self.store.file(owner)
        Retiring(self.store.path, self.disk, owner.epoch).retire(0, 0)


@FEWER
@given(st.data())
def test_no_fate_of_owners_disks_and_filers_changes_what_is_read(data: st.DataObject) -> None:
    records = data.draw(streams(max_size=12))
    with tempfile.TemporaryDirectory() as directory:
        world = _World(Path(directory) / "store", records, data)
        for _ in range(data.draw(st.integers(1, 14))):
            world.step()
            world.look()
        world.finish()
        world.look()
        for account in ACCOUNTS:
            stream = world.store.reader().stream(account, [])
            gaps = [e for e in stream if isinstance(e, PartitionEvent) and e.kind == "gap"]
            assert gaps == []

        assert check_store(world.store.root).faults == []
        assert world.store.own().position == len(records)

        undisturbed, _ = new_store(Path(directory) / "undisturbed")
        owner = undisturbed.own()
        undisturbed.journal(owner, records, data.draw(cuts(records)))
        assert first_difference(undisturbed.reader(), world.store.reader()) is None
        assert fingerprint(undisturbed.reader()) == fingerprint(world.store.reader())


@pytest.mark.row("F004", part="replay")
@FEWER
@given(st.data())
def test_a_replay_gives_the_same_store_and_no_id_twice(data: st.DataObject) -> None:
    records = data.draw(streams())
    with tempfile.TemporaryDirectory() as directory:
        stores = [new_store(Path(directory) / name)[0] for name in ("a", "b")]
        for store in stores:
            for end in sorted({*data.draw(cuts(records)), len(records)}):
                owner = store.own()
                store.journal(owner, records[:end], data.draw(cuts(records)))
                if owner.position > 0 and data.draw(st.booleans()):
                    store.file(owner)
        one, other = (store.reader() for store in stores)

        assert first_difference(one, other) is None
        for account in one.accounts():
            history = one.examine(account)
            assert history == other.examine(account)
