"""A reader of the store while workers are at work on it, and after power was lost."""

from __future__ import annotations

from streambackup.bus.port import TopicPartition, partition_of
from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.events.topics import TRANSACTIONS
from streambackup.reading.store_reader import StoreReader
from streambackup.testing.events import MOMENT_MS
from streambackup.testing.model import model_account
from streambackup.testing.model_state import seen_by_user
from streambackup.testing.simulation.mailboxes import ACCOUNTS
from streambackup.testing.simulation.world import IGNORED, PARTITIONS, ViolationError, World


class Watcher:
    """What it has seen once it sees again, unless power was lost."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._root = world.root
        self._broker = world.broker
        self._seen: dict[str, int] = {}

    def look(self) -> None:
        """Raises ViolationError where an account is not what the model makes of its partition's
        records up to some offset, or of fewer than before.
        """
        for account in ACCOUNTS:
            reader = StoreReader(self._root)
            stream = reader.stream(account, [])
            members = [member for one in stream if isinstance(one, Entry) for member in one.members]
            reach = max((member.offset + 1 for member in members), default=0)
            tp = TopicPartition(TRANSACTIONS, partition_of(account.encode(), PARTITIONS))
            wanted = model_account(
                self._broker.kept[tp][:reach],
                account,
                moment_ms=MOMENT_MS,
                ignored_attributes=IGNORED,
            )
            found = seen_by_user(reader.examine(account))
            if found != wanted.items:
                raise ViolationError(f"{account} up to {reach} is {found}, not {wanted.items}")
            if reach < self._seen.get(account, 0):
                raise ViolationError(f"{account} went back to {reach} from {self._seen[account]}")
            self._seen[account] = reach

    def look_after_a_crash(self) -> None:
        """Nobody is at work: the check finds no fault that matters."""
        self._seen.clear()
        faults = check_store(self._root).faults
        harmless = self._world.harmless_faults()
        if others := [fault for fault in faults if fault.finding not in harmless]:
            raise ViolationError(f"after a crash the check finds {others}")
        self.look()
