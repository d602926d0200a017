"""What must hold of a store when a simulated run is over."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from streambackup.coherency.check import CheckReport, check_store
from streambackup.domain.entry import Entry
from streambackup.domain.finding import FindingClass
from streambackup.reading.contents import Contents, Standing
from streambackup.reading.fingerprint import fingerprint, first_difference
from streambackup.reading.store_reader import StoreReader
from streambackup.testing.events import MOMENT_MS
from streambackup.testing.memory_bus import MemoryRecord
from streambackup.testing.model import model_account
from streambackup.testing.model_state import seen_by_user
from streambackup.testing.simulation.mailboxes import ACCOUNTS, Mailboxes
from streambackup.testing.simulation.world import IGNORED, ViolationError, World

PAST_SAMPLES = 3
"""Of each account so many past transactions are looked at; the model takes long."""


def judge(world: World, mailboxes: Mailboxes, chance: random.Random) -> None:
    """Raises ViolationError where the store is not what the records make of it."""
    reader = StoreReader(world.root)
    for account in ACCOUNTS:
        _judge_account(reader, account, world.broker.stream_of(account), chance)
    report = check_store(world.root)
    _judge_contents(reader, mailboxes, report)
    harmless = world.harmless_faults()
    if others := [found for found in report.faults if found.finding not in harmless]:
        raise ViolationError(f"the check finds {others}")


def judge_replay(root: Path, replay: Path) -> None:
    """Raises ViolationError where the store at *replay* has other histories than that at *root*."""
    one, other = StoreReader(root), StoreReader(replay)
    if fingerprint(one) != fingerprint(other):
        raise ViolationError(f"a replay differs: {first_difference(one, other)}")


def _judge_account(
    reader: StoreReader, account: str, records: Sequence[MemoryRecord], chance: random.Random
) -> None:
    stream = reader.stream(account, [])
    entries = [one for one in stream if isinstance(one, Entry)]
    members = [member for one in entries for member in one.members]
    offsets = [(one.generation, member.offset) for one in entries for member in one.members]
    if len(offsets) != len(set(offsets)):
        raise ViolationError(f"{account}: an offset is met twice in {sorted(offsets)}")
    found, wanted = reader.examine(account), _model(records, account)
    if seen_by_user(found) != wanted.items:
        raise ViolationError(f"{account} is {seen_by_user(found)}, the model says {wanted.items}")
    if bool(found.doubts) != bool(wanted.doubts or wanted.missing):
        raise ViolationError(f"{account} is in doubt because of {found.doubts}")
    ids = sorted({member.id for member in members if not member.id.source.startswith("marker.")})
    for id in chance.sample(ids, min(PAST_SAMPLES, len(ids))):
        past = seen_by_user(reader.examine(account, until=id))
        model = model_account(
            records, account, moment_ms=MOMENT_MS, ignored_attributes=IGNORED, until=id
        )
        if past != model.items:
            raise ViolationError(f"{account} as of {id} is {past}, the model says {model.items}")


def _model(records: Sequence[MemoryRecord], account: str):  # type: ignore[no-untyped-def]
    return model_account(records, account, moment_ms=MOMENT_MS, ignored_attributes=IGNORED)


def _judge_contents(reader: StoreReader, mailboxes: Mailboxes, report: CheckReport) -> None:
    """Content that came is stored and readable; what is missing the check reports.

    Content may be missing though it came: its upload was given up, and when its rest came at last
    retention had taken the beginning.
    """
    contents = Contents(reader)
    missing = set()
    for history in reader.histories():
        for state in (state for item in history.items.values() for state in item.states):
            if state.digest is None:
                continue
            standing = contents.standing(state)
            if standing is Standing.STORED:
                b"".join(contents.pieces(state))
            elif standing is Standing.MISSING:
                missing.add(state.digest)
            elif state.digest in mailboxes.stored:
                raise ViolationError(f"{state.digest} came, and is {standing}")
    lost = (missing & mailboxes.stored) - _named(report, FindingClass.ABANDONED_UPLOAD)
    if lost:
        raise ViolationError(f"{lost} came, and are missing")
    if missing != _named(report, FindingClass.MISSING_BLOB):
        raise ViolationError(f"missing {missing}, the check reports {report.faults}")


def _named(report: CheckReport, finding: FindingClass) -> set[str]:
    return {found.digest for found in report.findings if found.finding is finding and found.digest}
