"""Replaying the topics into a backup path of its own, by the workers of the service.

Nothing is published, nobody's group is joined, and what was interrupted goes on where its journals
end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import msgspec

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.bounded import Pace
from streambackup.bus.generations import GenerationList
from streambackup.bus.port import Bus
from streambackup.errors import NoStoreError, StoreError, TopicError, UsageError
from streambackup.events.config import Generation, Primary
from streambackup.reading.store_reader import StoreReader
from streambackup.reading.survey import BlobCoverage, Survey
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.tasks import stopped_by_signals
from streambackup.service.generations import find_primary
from streambackup.service.opening import open_embedded
from streambackup.service.replay_folding import (
    Progress,
    Step,
    TopicsHeld,
    find_topics,
    fold_topics,
    interrupted,
)
from streambackup.service.replay_target import open_target, target_settings, wanted_setup
from streambackup.service.settings import Settings
from streambackup.service.status import recorded
from streambackup.service.store_home import find_store
from streambackup.service.store_lock import process_directory, store_lock
from streambackup.service.wiring import Workers, open_bus

ACCOUNTS_A_STEP = 1_000


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Replay into ``to``: a store beside the primary or, ``as_primary``, in its place; set up like
    the store ``like``, or as the topics tell. Content that the topics do not hold any more is
    looked for in the backup paths ``content_from``.
    """

    to: Path
    as_primary: bool = False
    like: Path | None = None
    content_from: tuple[Path, ...] = ()
    bytes_per_second: int | None = None


class ReplayReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a replay made. ``gaps`` stand for transactions that the topics did not hold any more,
    ``lost_generations`` for whole topics of them; ``content_taken`` counts blobs from elsewhere.
    """

    store: str
    replica_of: str | None
    path: str
    fingerprint: str
    accounts: int
    in_doubt: int
    quarantined: int
    gaps: int
    lost_generations: list[str]
    blobs: BlobCoverage
    content_taken: int

    @property
    def is_complete(self) -> bool:
        return not (self.gaps or self.lost_generations or self.blobs.missing)


async def replay(
    settings: Settings, request: ReplayRequest, *, clock: Clock, progress: Progress
) -> ReplayReport:
    """Replay the topics as *request* says. Repeated after an interruption it goes on, and after its
    end it adds what came since.

    Raises:
        InterruptedRunError: it was told to stop. StoreError, UsageError: what it shall write to is
        something else. StoreBusyError: a service works there. BusError: the topics cannot be read.
    """
    async with contextlib.AsyncExitStack() as closing:
        bus = open_bus(settings, clock)
        closing.push_async_callback(bus.close)
        primary = await _expect_primary(bus, settings, request)
        embedded = await closing.enter_async_context(
            open_embedded(settings, _state_of(primary, settings), bus, clock)
        )
        sources = [_content_of(path) for path in request.content_from]
        disk = Disk()
        home = await asyncio.to_thread(
            open_target,
            target_settings(settings.store, request.to),
            primary,
            wanted_setup(primary, request.like),
            as_primary=request.as_primary,
            disk=disk,
            clock=clock,
        )
        with store_lock(home.root), process_directory(home.state, disk) as caches:
            workers = Workers(
                settings=settings,
                home=home,
                caches=caches,
                bus=bus,
                listed=GenerationList(bus),
                embedded=embedded,
                primary=primary.store,
                disk=disk,
                clock=clock,
            )
            topics = await find_topics(partial(_bus_of, workers), await workers.listed.read())
            await fold_topics(workers, topics, Pace(request.bytes_per_second, clock), progress)
            return await _Finish(workers, topics, progress).run(sources)


def _state_of(primary: Primary, settings: Settings) -> Path | None:
    """This node's part of the *primary* store; None where the settings name another, or none."""
    with contextlib.suppress(NoStoreError):
        found = find_store(settings.store)
        return found.state if found.config.store == primary.store else None
    return None


def _bus_of(workers: Workers, generation: Generation) -> Bus:
    """Where the topics of *generation* are, if they are anywhere."""
    moved = generation.embedded_in == workers.primary
    return workers.embedded if moved and workers.embedded is not None else workers.bus


async def _expect_primary(bus: Bus, settings: Settings, request: ReplayRequest) -> Primary:
    """Whose topics they are. Raises what ``replay`` does."""
    primary = await find_primary(bus)
    if primary is None:
        raise TopicError(
            "the topics are of no store yet", hint="'streambackup init' makes the first."
        )
    if request.as_primary and request.to.absolute() != settings.store.path.absolute():
        with contextlib.suppress(NoStoreError):
            if find_store(settings.store).config.store == primary.store:
                raise StoreError(
                    f"the primary store {primary.store} is not lost: it is {settings.store.path}",
                    hint="Leave --as-primary out, for a store beside it.",
                )
    return primary


def _content_of(path: Path) -> LooseBlobs:
    if not (path / "items").is_dir():
        raise UsageError(
            f"{path} holds no content: there is no directory 'items' in it",
            hint="Name a backup path, or a copy of one.",
        )
    return LooseBlobs(path)


class _Finish:
    """What comes when all is folded: look at all of it, and fill in content from elsewhere."""

    def __init__(self, workers: Workers, topics: TopicsHeld, progress: Progress) -> None:
        self._workers = workers
        self._topics = topics
        self._progress = progress
        self._stop = asyncio.Event()

    async def run(self, sources: Sequence[LooseBlobs]) -> ReplayReport:
        home = self._workers.home
        async with stopped_by_signals(self._stop):
            self._progress(Step("surveying", 0))
            reader = StoreReader(home.root)
            survey = await asyncio.to_thread(Survey, reader, self._surveyed)
            with contextlib.closing(survey):
                taken = await self._fill(survey, sources) if sources else 0
                seen = await asyncio.to_thread(recorded, home.root)
                return ReplayReport(
                    store=home.config.store,
                    replica_of=self._workers.primary if self._workers.is_replica else None,
                    path=str(home.root),
                    fingerprint=survey.fingerprint,
                    accounts=survey.accounts,
                    in_doubt=survey.in_doubt,
                    quarantined=seen.quarantined,
                    gaps=seen.gaps,
                    lost_generations=[one.generation for one in self._topics.lost],
                    blobs=await asyncio.to_thread(survey.coverage),
                    content_taken=taken,
                )

    def _surveyed(self, accounts: int) -> None:
        """In the thread that surveys, for every account."""
        if self._stop.is_set():
            raise interrupted()
        if accounts % ACCOUNTS_A_STEP == 0:
            self._progress(Step("surveying", accounts))

    async def _fill(self, survey: Survey, sources: Sequence[LooseBlobs]) -> int:
        """Take what is not stored from *sources*; how much was."""
        filling = self._workers.blob_filling(sources, self._topics.held[-1])
        taken = 0
        try:
            absent = survey.absent()
            while digests := await asyncio.to_thread(next, absent, None):
                if self._stop.is_set():
                    raise interrupted()
                found = await filling.fill(digests)
                await asyncio.to_thread(survey.note_stored, found)
                taken += len(found)
                self._progress(Step("filling", taken))
        finally:
            await asyncio.to_thread(filling.close)
        return taken
