"""A reader of the store while workers are at work on it, and after power was lost."""

from __future__ import annotations

import sys

from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.reading.store_reader import StoreReader
from streambackup.testing.events import MOMENT_MS
from streambackup.testing.model import model_account
from streambackup.testing.model_state import seen_by_user
from streambackup.testing.simulation.mailboxes import ACCOUNTS
from streambackup.testing.simulation.world import IGNORED, ViolationError, World


class Watcher:
    """What it has seen once it sees again, unless power was lost."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._root = world.root
        self._broker = world.broker
        self._seen: dict[str, list[int]] = {}

    def look(self) -> None:
        """Raises ViolationError where an account is not what the model makes of its partition's
        records up to some offset, or of fewer than before.
        """
        for account in ACCOUNTS:
            reader = StoreReader(self._root)
            reach = self._reach(reader, account)
            wanted = model_account(
                self._broker.stream_of(account, reach),
                account,
                moment_ms=MOMENT_MS,
                ignored_attributes=IGNORED,
            )
            found = seen_by_user(reader.examine(account))
            if found != wanted.items:
                raise ViolationError(f"{account} up to {reach} is {found}, not {wanted.items}")
            seen = [reach.get(one.generation, 0) for one in self._broker.generations]
            if seen < self._seen.get(account, []):
                raise ViolationError(f"{account} went back to {seen} from {self._seen[account]}")
            self._seen[account] = seen

    def _reach(self, reader: StoreReader, account: str) -> dict[str, int]:
        """Below which offset of each generation *account* is read: all of one that others follow,
        for nothing of those may be read ahead of its end.
        """
        reach: dict[str, int] = {}
        for one in reader.stream(account, []):
            if isinstance(one, Entry):
                ends = [member.offset + 1 for member in one.members]
                reach[one.generation] = max(reach.get(one.generation, 0), *ends)
        known = [one.generation for one in self._broker.generations]
        latest = max((known.index(generation) for generation in reach), default=0)
        return reach | dict.fromkeys(known[:latest], sys.maxsize)

    def look_after_a_crash(self) -> None:
        """Nobody is at work: the check finds no fault that matters."""
        self._seen.clear()
        faults = check_store(self._root).faults
        harmless = self._world.harmless_faults()
        if others := [fault for fault in faults if fault.finding not in harmless]:
            raise ViolationError(f"after a crash the check finds {others}")
        self.look()
