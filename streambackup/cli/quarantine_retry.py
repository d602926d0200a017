"""``streambackup quarantine retry``"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated

from cyclopts import Parameter

from streambackup.cli.asking import asking
from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import JsonArray, note, write_line
from streambackup.cli.setting_aside import EVERYTHING, Wanted
from streambackup.domain.words import counted
from streambackup.errors import IncompleteError, UsageError
from streambackup.reading.set_aside import SetAside
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.audit import Concerned
from streambackup.runtime.clock import SystemClock
from streambackup.service.quarantine import find_record, wanted_records
from streambackup.service.retrying import Outcome, Retried, open_retrying
from streambackup.service.settings import Settings


def quarantine_retry(
    origins: Annotated[
        Sequence[str],
        Parameter(help="Records as 'quarantine list' names them; all that are wanted unless said."),
    ] = (),
    /,
    *,
    wanted: Wanted = EVERYTHING,
    dry_run: Annotated[bool, Parameter(help="Show what would be done, and do nothing.")] = False,
    common: Common = NOTHING_SAID,
) -> None:
    """Publish again what this release can use, each transaction under the id that it has."""
    if origins and wanted != EVERYTHING:
        raise UsageError("origins and a filter exclude each other", hint="Give one of the two.")
    settings = common.settings()
    common.start_logs(settings)
    accounts = [] if wanted.account is None else [wanted.account]
    given = {"origins": list(origins), "dry_run": dry_run, **wanted.arguments()}
    answer = Answer(as_json=common.json)
    with asking(common, "quarantine retry", given, Concerned(accounts)) as reader:
        records: Iterable[SetAside]
        if origins:
            records = [find_record(reader.root, origin) for origin in origins]
        else:
            records = wanted_records(reader.root, wanted.filter())
        asyncio.run(_retry(settings, reader, records, answer, dry_run=dry_run))
        answer.end(dry_run=dry_run)


class Answer:
    """Tells what became of each record, as soon as it is known."""

    def __init__(self, *, as_json: bool) -> None:
        self._array = JsonArray() if as_json else None
        self._count = Counter[Outcome]()

    def add(self, retried: Retried) -> None:
        self._count[retried.outcome] += 1
        if retried.reason is not None:
            note(f"{retried.id}: {retried.reason}")
        if self._array is not None:
            self._array.add(retried)

    def end(self, *, dry_run: bool) -> None:
        """Close the answer. Raises IncompleteError where a record cannot be used."""
        unusable = self._count[Outcome.UNUSABLE]
        if self._array is not None:
            self._array.end()
        else:
            done = Outcome.READY if dry_run else Outcome.PUBLISHED
            write_line(
                f"{self._count[done]} {'to publish' if dry_run else 'published'}, "
                f"{self._count[Outcome.CAME]} came otherwise, {unusable} cannot be used"
            )
        if unusable:
            raise IncompleteError(
                f"{counted(unusable, 'record')} cannot be used by this release",
                hint="They stay in quarantine. A newer release, or whoever published them, may "
                "help; so does a scan of the account.",
            )


async def _retry(
    settings: Settings,
    reader: StoreReader,
    records: Iterable[SetAside],
    answer: Answer,
    *,
    dry_run: bool,
) -> None:
    async with open_retrying(settings, reader, clock=SystemClock()) as retrying:
        async for retried in retrying.retry(records, dry_run=dry_run):
            answer.add(retried)
