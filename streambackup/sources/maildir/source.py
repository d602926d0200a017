"""A source that watches Maildir++ trees. It never writes to them."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import msgspec
import structlog

from streambackup.errors import SourceError, UsageError
from streambackup.runtime.clock import Clock
from streambackup.sources.maildir.away import TreeAwayError
from streambackup.sources.maildir.opened import At
from streambackup.sources.maildir.reading import Reading, read_message
from streambackup.sources.maildir.tree import Batches, Tree
from streambackup.sources.maildir.watcher import Event, Watcher
from streambackup.sources.port import Memory, Observation

log = structlog.get_logger()

READERS = 4
SETTLE_S = 0.02
"""What happens within this time is looked at together:
a copy and the removal of the original are one move then.
"""
HALF_A_MOVE_S = 0.01
COMPLAINTS_MAX = 100


class MaildirTree(msgspec.Struct, frozen=True):
    """A Maildir++ tree to watch, and the id of the account it belongs to."""

    path: Path
    account: str


class MaildirSource:
    """Observes *trees*, each of another account and none inside another.

    A tree that goes away is waited for, and looked for every ``look_again_s`` seconds; that is
    never taken for deletions.

    Raises:
        UsageError: two trees share an account or a directory.
    """

    name = "maildir"

    def __init__(
        self,
        trees: Sequence[MaildirTree],
        *,
        clock: Clock,
        watcher: Callable[[], Watcher] = Watcher,
        look_again_s: float = 5.0,
    ) -> None:
        self._paths = {tree.account: Path(os.path.realpath(tree.path)) for tree in trees}
        _refuse_overlaps(trees, self._paths)
        self._clock = clock
        self._new_watcher = watcher
        self._look_again_s = look_again_s
        self._away: dict[str, TreeAwayError] = {}
        self._complaints: dict[str, str] = {}

    @property
    def warnings(self) -> list[str]:
        """What is not backed up now, and why, for people."""
        away = [f"{account}: {error.message}" for account, error in self._away.items()]
        unread = [f"{path}: {reason}" for path, reason in self._complaints.copy().items()]
        if len(unread) == COMPLAINTS_MAX:
            unread.append("more may not be read: 'maildir_entry_not_read' in the log has all")
        return away + unread

    @property
    def away(self) -> int:
        """How many of the trees are not there, or cannot be read."""
        return len(self._away)

    async def observe(self, memory: Memory) -> AsyncGenerator[list[Observation], None]:
        """As the port says. Raises SourceError when none of the trees is there (any more)."""
        watcher = self._new_watcher()
        pool = ThreadPoolExecutor(READERS, thread_name_prefix="maildir")
        try:
            trees = self._make_trees(watcher, pool)
            unlisted = set(trees)
            events: dict[str, list[Event]] = {}
            while True:
                for account, tree in trees.items():
                    if account in unlisted:
                        self._forget_complaints(account)
                        batches = tree.list_all(memory)
                    elif account in events or tree.looks_again:
                        batches = tree.changes(memory, events.get(account, ()))
                    else:
                        continue
                    try:
                        async for batch in _drawn(batches):
                            yield batch
                        self._found(account)
                    except TreeAwayError as error:
                        watcher.forget(account)
                        self._lost(account, error)
                looks_again = any(tree.looks_again for tree in trees.values())
                events, overflowed = await self._next_events(watcher, looks_again=looks_again)
                unlisted = set(trees) if overflowed else set(self._away)
        finally:
            watcher.close()
            pool.shutdown(wait=False)

    def _make_trees(self, watcher: Watcher, pool: ThreadPoolExecutor) -> dict[str, Tree]:
        def read_all(files: Sequence[At]) -> list[Reading | OSError | None]:
            return list(pool.map(_read_or_fail, files))

        return {
            account: Tree(
                account,
                os.fsencode(path),
                watcher=watcher,
                clock=self._clock,
                read_all=read_all,
                complain=self._complain,
            )
            for account, path in self._paths.items()
        }

    async def _next_events(
        self, watcher: Watcher, *, looks_again: bool
    ) -> tuple[dict[str, list[Event]], bool]:
        """What happened, by account, and whether that is not all; waits for something to happen,
        but not longer than until trees that are away, or what could not be read, are to be looked
        for.
        """
        if not watcher.has_events:
            await self._wait(watcher, limited=looks_again or bool(self._away))
        await asyncio.to_thread(watcher.pull)
        if watcher.half_of_a_move():
            await asyncio.sleep(HALF_A_MOVE_S)
        taken, overflowed = await asyncio.to_thread(watcher.take)
        if overflowed:
            log.warning("maildir_events_lost", reason="too many at once; listing all trees")
        events: dict[str, list[Event]] = defaultdict(list)
        for event in taken:
            events[event.place.account].append(event)
        return events, overflowed

    async def _wait(self, watcher: Watcher, *, limited: bool) -> None:
        happened = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(watcher.fileno(), happened.set)
        try:
            async with asyncio.timeout(self._look_again_s if limited else None):
                await happened.wait()
        except TimeoutError:
            return
        finally:
            loop.remove_reader(watcher.fileno())
        await asyncio.sleep(SETTLE_S)

    def _lost(self, account: str, error: TreeAwayError) -> None:
        if account not in self._away:
            log.warning("maildir_away", account=account, reason=error.message)
        self._away[account] = error
        if len(self._away) == len(self._paths):
            raise SourceError(error.message, hint=error.hint) from error

    def _found(self, account: str) -> None:
        if self._away.pop(account, None):
            log.info("maildir_back", account=account)

    def _complain(self, path: bytes, reason: str | None) -> None:
        shown = os.fsdecode(path)
        if reason is None:
            if self._complaints.pop(shown, None):
                log.info("maildir_entry_read", path=shown)
        elif shown not in self._complaints:
            log.warning("maildir_entry_not_read", path=shown, reason=reason)
            if len(self._complaints) < COMPLAINTS_MAX:
                self._complaints[shown] = reason

    def _forget_complaints(self, account: str) -> None:
        root = f"{self._paths[account]}/"
        for path in [path for path in self._complaints if path.startswith(root)]:
            del self._complaints[path]


async def _drawn(batches: Batches) -> AsyncIterator[list[Observation]]:
    """*batches*, each made in a thread when it is asked for."""
    while (batch := await asyncio.to_thread(next, batches, None)) is not None:
        yield batch


def _read_or_fail(at: At) -> Reading | OSError | None:
    try:
        return read_message(at)
    except OSError as error:
        return error


def _refuse_overlaps(trees: Sequence[MaildirTree], paths: dict[str, Path]) -> None:
    if len(paths) < len(trees):
        raise UsageError(
            "two Maildirs have the same account", hint="Give each its own in sources.maildir."
        )
    ordered = sorted(paths.values())
    for path, following in pairwise(ordered):
        if following.is_relative_to(path):
            raise UsageError(f"the Maildir {following} is, or is inside, the Maildir {path}")
