"""What a chaos run leaves, against what is on the topics and what an undisturbed worker made."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from streambackup.bus.port import Bus, TopicPartition
from streambackup.coherency.check import check_store
from streambackup.domain.entry import Entry
from streambackup.events.codec import decode_mailbox_event
from streambackup.events.mailbox import Marker
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.journal.cover import find_cover
from streambackup.journal.life import read_lives
from streambackup.journal.mark import farthest_mark
from streambackup.journal.segment import PartitionPath
from streambackup.reading.fingerprint import fingerprint, first_difference
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings_loading import load_settings
from streambackup.service.wiring import open_bus

READ_RECORDS = 5_000
LOOK_EVERY_S = 0.5

Transactions = set[tuple[str, str]]
"""Account and id of each."""


class Verdict(NamedTuple):
    """``lost`` were published and are in no history; ``duplicated`` are there twice, or were never
    published.
    """

    lost: int
    duplicated: int
    faults: list[str]


@contextlib.asynccontextmanager
async def bus_of(config: Path) -> AsyncIterator[Bus]:
    bus = open_bus(load_settings(config=config), SystemClock())
    try:
        yield bus
    finally:
        await bus.close()


async def ends(bus: Bus) -> dict[TopicPartition, int]:
    return {tp: at.end for tp, at in (await bus.bounds([TRANSACTIONS, BLOBS])).items()}


async def caught_up(
    root: Path, wanted: Mapping[TopicPartition, int], *, limit_s: float
) -> str | None:
    """Wait until the journals of *root* reach *wanted*; returns what they do not reach in time."""
    until_s = asyncio.get_running_loop().time() + limit_s
    while behind := await asyncio.to_thread(_behind, root, wanted):
        if asyncio.get_running_loop().time() > until_s:
            return f"after {limit_s:g} s not recorded: {', '.join(behind)}"
        await asyncio.sleep(LOOK_EVERY_S)
    return None


def _behind(root: Path, wanted: Mapping[TopicPartition, int]) -> list[str]:
    lives = read_lives(root)
    if not lives:
        return ["anything"]
    found = []
    for tp, end in wanted.items():
        path = PartitionPath(root, lives[-1].generation, *tp)
        position = find_cover(path, farthest_mark(path).cover).end
        if position < end:
            found.append(f"{tp.topic}/{tp.partition} from {position} to {end}")
    return found


async def published(bus: Bus) -> Transactions:
    """Every transaction on the topic."""
    found: Transactions = set()
    for tp, bounds in (await bus.bounds([TRANSACTIONS])).items():
        offset = bounds.begin
        while offset < bounds.end:
            records = await bus.read(tp, offset, records_max=READ_RECORDS)
            for record in records:
                event = decode_mailbox_event(record.value or b"")
                if not isinstance(event, Marker):
                    id = f"{event.source}:{event.incarnation}:{event.sequence}"
                    found.add((event.account, id))
            offset = records[-1].offset + 1
    return found


def judge(root: Path, undisturbed: Path, wanted: Transactions) -> Verdict:
    """Compare the store at *root* with what was published and with the *undisturbed* one."""
    faults = [f"check: {finding}" for finding in check_store(root).faults]
    reader, other = StoreReader(root), StoreReader(undisturbed)
    if fingerprint(reader) != fingerprint(other):
        faults.append(f"fingerprints differ: {first_difference(reader, other)}")
    faults += [f"in doubt: {account}" for account in _doubted(reader)]
    accounts = {account for account, _ in wanted}
    found = Counter(_in_histories(reader, accounts))
    twice = sum(count - 1 for count in found.values()) + _met_twice(reader, accounts)
    return Verdict(
        lost=len(wanted - found.keys()),
        duplicated=twice + len(found.keys() - wanted),
        faults=faults,
    )


def _doubted(reader: StoreReader) -> list[str]:
    return [history.account for history in reader.histories() if history.doubts]


def _in_histories(reader: StoreReader, accounts: Collection[str]) -> Iterator[tuple[str, str]]:
    for account in accounts:
        for item in reader.history(account).items.values():
            for state in item.states:
                for transaction in state.transactions:
                    yield account, str(transaction)


def _met_twice(reader: StoreReader, accounts: Collection[str]) -> int:
    """Offsets that the fold would take more than once."""
    twice = 0
    for account in accounts:
        entries = [one for one in reader.stream(account, []) if isinstance(one, Entry)]
        offsets = Counter(member.offset for entry in entries for member in entry.members)
        twice += sum(count - 1 for count in offsets.values())
    return twice
