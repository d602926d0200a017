"""A partition and those who file it, step by step: owners take over, append, file, merge, retire,
stop between any two steps of the disk, go on when others went on without them, and die.

Denser than a whole world: there is nothing but what filing and merging do to each other.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.errors import NoSpaceError
from streambackup.journal.owner import PartitionOwner, inherit
from streambackup.journal.segment import EpochName
from streambackup.realtime.filing import Filed, file_partition
from streambackup.realtime.retiring import Retiring
from streambackup.runtime.disk import AppendFile
from streambackup.testing.events import TIME_MS, PartitionLog, put
from streambackup.testing.lossy_disk import LossyDisk, LossyFile, PowerCutError
from streambackup.testing.parked_call import ParkedCall
from streambackup.testing.partition_store import PartitionStore
from streambackup.testing.simulation.world import ViolationError

ACCOUNT = "anna"
RECORDS = 40
HAPPENINGS = (80, 240)
LOGS_MAX = 1
OWNERS_MAX = 3
PAUSES_IN_WRITE = (1, 60)
"""Others run so often while a file is open and not written to: it may be unlinked then."""


class _ParkingDisk(LossyDisk):
    """Lets others run ahead of each step; whoever was killed meanwhile takes none."""

    def __init__(self, root: Path, chance: random.Random, *, syncfs: bool) -> None:
        super().__init__(root, syncfs=syncfs)
        self._chance = chance
        self.dead = False
        """Whether the call that goes on is of someone who was killed."""

    def _pass(self) -> None:
        ParkedCall.park()
        if self.dead:
            raise PowerCutError("killed")

    def _draw(self) -> str:
        return f"{self._chance.getrandbits(64):016x}"

    def _open(self, path: Path, flags: int) -> AppendFile:
        self._pass()
        return super()._open(path, flags)

    def rename(self, source: Path, target: Path) -> None:
        self._pass()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._pass()
        super().unlink(path)

    def sync_file(self, path: Path) -> None:
        self._pass()
        super().sync_file(path)

    def sync_all(self, root: Path, written: Iterable[Path]) -> None:
        self._pass()
        super().sync_all(root, sorted(written))

    def write_to(self, file: LossyFile, data: bytes, life: int) -> None:
        for _ in range(self._chance.choice(PAUSES_IN_WRITE)):
            self._pass()
        super().write_to(file, data, life)


class _Owner:
    """One epoch; what it files or retires just now is ``call``."""

    def __init__(self, owner: PartitionOwner, retiring: Retiring) -> None:
        self.owner = owner
        self.retiring = retiring
        self.call: ParkedCall | None = None
        self.may_append = self.may_file = True


class Filers:
    """The same *seed* makes the same steps."""

    def __init__(self, root: Path, seed: int) -> None:
        self._chance = random.Random(f"{seed} filers")
        PartitionStore(root)
        self._disk = _ParkingDisk(root, self._chance, syncfs=self._chance.random() < 0.5)
        self._store = PartitionStore(root, self._disk)
        events = (
            put("m", n, account=ACCOUNT, time_ms=TIME_MS + 1_000 * n) for n in range(1, RECORDS + 1)
        )
        self._records = PartitionLog(list(events)).records
        self._owners: list[_Owner] = []
        self._promised = 0
        self.merged = 0

    def play(self) -> None:
        """Raises ViolationError where a record that was promised is not read, or read twice."""
        happenings: list[tuple[int, Callable[[], object]]] = [
            (4, self._take_over),
            (6, self._append),
            (10, self._file),
            (30, self._go_on),
            (2, self._retire),
            (1, self._lose_power),
            (1, self._fill_disk),
            (4, self.look),
        ]
        weights = [weight for weight, _ in happenings]
        for _ in range(self._chance.randint(*HAPPENINGS)):
            self._chance.choices(happenings, weights)[0][1]()
        self._end()

    def _take_over(self) -> None:
        if len(self._owners) >= OWNERS_MAX:
            self._kill()
        cover, epoch, _ = inherit(self._store.path, self._disk)
        owner = PartitionOwner(
            self._store.path, self._disk, self._store.identity, epoch, cover, self._draw_epoch
        )
        self._owners.append(_Owner(owner, Retiring(self._store.path, self._disk, owner.epoch)))

    def _draw_epoch(self, number: int) -> EpochName:
        return EpochName(number, f"{self._chance.getrandbits(64):016x}")

    def _one(self, *, busy: bool) -> _Owner | None:
        fitting = [one for one in self._owners if (one.call is not None) is busy]
        return self._chance.choice(fitting) if fitting else None

    def _append(self) -> None:
        """Often by the oldest, the zombie of all others: so it is ahead of them."""
        owners = [one for one in self._owners if one.may_append]
        if owners:
            one = owners[0] if self._chance.random() < 0.5 else self._chance.choice(owners)
            end = one.owner.position + self._chance.randint(1, 2)
            try:
                self._store.journal(one.owner, self._records[:end])
            except NoSpaceError:
                one.may_append = False
            self._promised = max(self._promised, one.owner.position)

    def _file(self) -> None:
        one = self._one(busy=False)
        if one is not None and one.may_file and one.owner.position > 0:
            request = msgspec.structs.replace(self._store.request(one.owner), logs_max=LOGS_MAX)
            self._begin(one, lambda: file_partition(request, self._disk))

    def _retire(self) -> None:
        """The wait ahead of it stands for so long a time that no earlier owner appends any more,
        though one may file.
        """
        if (one := self._one(busy=False)) is not None:
            retiring, number = one.retiring, one.owner.epoch.number
            for other in self._owners:
                is_earlier = other is not one and other.owner.epoch.number <= number
                other.may_append = other.may_append and not is_earlier
            self._begin(one, lambda: retiring.retire(0, 0))

    def _begin(self, one: _Owner, call: Callable[[], Any]) -> None:
        one.call = ParkedCall(call)
        self._run(one, 1)

    def _go_on(self) -> None:
        if (one := self._one(busy=True)) is not None:
            self._run(one, self._chance.choice([1, 5, 20, 40]))

    def _run(self, one: _Owner, steps: int) -> None:
        assert one.call is not None
        for _ in range(steps):
            if one.call.go_on():
                self._note_outcome(one, one.call)
                one.call = None
                return

    def _note_outcome(self, one: _Owner, call: ParkedCall) -> None:
        try:
            result = call.outcome()
        except (NoSpaceError, PowerCutError):
            one.may_file = False
            return
        if isinstance(result, Filed):
            self.merged += result.compacted.accounts

    def _kill(self) -> None:
        one = self._chance.choice(self._owners)
        self._owners.remove(one)
        self._bury(one)

    def _bury(self, one: _Owner) -> None:
        self._disk.dead = True
        while one.call is not None:
            self._run(one, 1)
        self._disk.dead = False

    def _lose_power(self) -> None:
        for one in self._owners:
            self._bury(one)
        self._owners.clear()
        self._disk.make_space()
        self._disk.crash(self._chance.randrange(1_000_000))
        self.look()

    def _fill_disk(self) -> None:
        self._disk.make_space()
        if self._chance.random() < 0.5:
            self._disk.full_at_write = self._disk.writes + self._chance.randint(1, 5)

    def look(self) -> None:
        """Raises ViolationError where a reader does not find what was promised, each once."""
        reader = self._store.reader()
        entries = [one for one in reader.stream(ACCOUNT, []) if isinstance(one, Entry)]
        found = sorted(member.offset for entry in entries for member in entry.members)
        if found[: self._promised] != list(range(self._promised)):
            raise ViolationError(f"{self._promised} promised, a reader finds {found}")

    def _end(self) -> None:
        """All that goes on ends; a last owner has nothing in the way."""
        self._disk.make_space()
        while (one := self._one(busy=True)) is not None:
            self._run(one, 1)
        self.look()
        self._take_over()
        last = self._owners[-1]
        self._store.journal(last.owner, self._records)
        self._promised = RECORDS
        request = msgspec.structs.replace(self._store.request(last.owner), logs_max=LOGS_MAX)
        file_partition(request, self._disk)
        self.look()
        last.retiring.retire(0, 0)
        self.look()
        if faults := check_store(self._store.root).faults:
            raise ViolationError(f"the check finds {faults}")
