"""The account worker: transactions from the bus into the journal, and from there into account logs.

Records are journalled as they come, with one append and one sync per partition and batch, and
acknowledged; they are decoded and coalesced when they are filed. The position is inside the append;
what the bus is told only feeds lag displays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import msgspec
import structlog

from streambackup.bus.port import Record
from streambackup.errors import NoSpaceError, StoreError
from streambackup.events.topics import TRANSACTIONS
from streambackup.journal.admission import first_foreign
from streambackup.journal.frame import FrameKind
from streambackup.journal.mark import FiledMark
from streambackup.journal.owner import PartitionOwner
from streambackup.journal.payload import Records, encode_payload
from streambackup.realtime.ended_lives import file_ended
from streambackup.realtime.filing import LOGS_MAX, Filed, FilingRequest
from streambackup.realtime.retiring import Retiring
from streambackup.realtime.takeover import last_record
from streambackup.realtime.turn import Outcome, Turn
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.metrics import Metrics

log = structlog.get_logger()

Filer = Callable[[FilingRequest], "asyncio.Future[Filed]"]
"""Starts ``file_partition`` where it does not hold up the journal."""

RETIRE_EVERY_MS = 60_000
FILINGS_AHEAD = 4
"""Two at work and two waiting: between two looks the filer does not run out of work."""


class SegmentSettings(msgspec.Struct, frozen=True, kw_only=True):
    segment_bytes: int = 64 * 1024 * 1024
    segment_age_ms: int = 60_000
    segment_retention_ms: int = 24 * 3600 * 1000
    logs_max: int = LOGS_MAX


class _Open:
    """What the worker keeps of a turn besides its owner."""

    def __init__(self, turn: Turn, filed_to: int, disk: Disk) -> None:
        self.turn = turn
        self.filed_to = filed_to
        self.began_ms: int | None = None
        self.filing: tuple[asyncio.Future[Filed], FiledMark] | None = None
        self.may_file = True
        """False once a filing failed: its logs may end in half a line, or in one that no disk has,
        behind which only another epoch, in logs of its own, may write.
        """
        self.retiring = Retiring(turn.owner.path, disk, turn.owner.epoch)
        self.retired_ms = 0


class AccountWorker:
    """Handler of ``mailbox.transactions``."""

    journal_topic = TRANSACTIONS
    gather_bytes = 0  # One fetch fills a frame well enough.
    by_partition = True

    def __init__(
        self,
        *,
        root: Path,
        moment_ms: int,
        disk: Disk,
        clock: Clock,
        settings: SegmentSettings,
        metrics: Metrics,
        filer: Filer,
    ) -> None:
        self._root = root
        self._moment_ms = moment_ms
        self._disk = disk
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._filer = filer
        self._open: dict[Turn, _Open] = {}

    def owners(self) -> list[PartitionOwner]:
        """Of the partitions in hand."""
        return [turn.owner for turn in list(self._open)]  # A turn may begin in another thread.

    def began(self, turn: Turn, filed_to: int) -> int:
        now_ms = self._clock.now_ms()
        file_ended(turn.owner.path, moment_ms=self._moment_ms, now_ms=now_ms, disk=self._disk)
        self._open[turn] = _Open(turn, filed_to, self._disk)
        return turn.owner.position

    def take(self, batches: Sequence[tuple[Turn, Sequence[Record]]]) -> list[Outcome]:
        outcomes = []
        for turn, records in batches:
            try:
                foreign = self._append(turn, records)
            except NoSpaceError as error:
                outcomes.append(Outcome(turn, full=error))
                continue
            if foreign is not None:
                outcomes.append(Outcome(turn, foreign=foreign))
        return outcomes

    def _append(self, turn: Turn, records: Sequence[Record]) -> str | None:
        """Journal a partition's batch, as it is; returns the generation of a record not of this
        one.
        """
        owner = turn.owner
        if records[0].offset < owner.position:
            records = [record for record in records if record.offset >= owner.position]
        fresh = Records.of(records)
        stop = first_foreign(fresh, turn.place(turn.life.partitions))
        if stop is not None:
            records, fresh = records[: stop.at], fresh.ahead_of(stop.at)
        if records:
            last = records[-1]
            payload = encode_payload(fresh)
            owner.append(FrameKind.RECORDS, payload, last.offset + 1, last_record(last))
            self._metrics.last_transaction.set(last.timestamp / 1000)
            waited_ms = self._clock.now_ms() - records[0].timestamp
            self._metrics.durable_delay.observe(max(0, waited_ms) / 1000)
            state = self._open[turn]
            if state.began_ms is None:
                state.began_ms = self._clock.now_ms()
        return None if stop is None else stop.stamped

    async def tick(self, turns: Collection[Turn]) -> list[Outcome]:
        now_ms = self._clock.now_ms()
        outcomes = []
        for turn in turns:
            state = self._open[turn]
            if state.filing is not None and not state.filing[0].done():
                continue
            try:
                await self._finish_filing(state)
            except NoSpaceError as error:
                outcomes.append(Outcome(turn, full=error))
                continue
            if self._is_due(state, now_ms):
                self._seal_and_file(state)
            elif now_ms - state.retired_ms >= RETIRE_EVERY_MS:
                state.retired_ms = now_ms
                retention_ms = self._settings.segment_retention_ms
                await asyncio.to_thread(state.retiring.retire, now_ms, retention_ms)
        self._file_early([self._open[turn] for turn in turns])
        return outcomes

    def _file_early(self, states: Collection[_Open]) -> None:
        """Give an idle filer the biggest open segments, so that it works while more arrives.

        Where it cannot keep up they grow meanwhile, and bigger ones take less work.
        """
        under_way = sum(state.filing is not None for state in states)
        worth_it = self._settings.segment_bytes // 8
        open_ones = [
            state
            for state in states
            if state.filing is None
            and state.may_file
            and state.turn.owner.segment_bytes >= worth_it
        ]
        open_ones.sort(key=lambda state: state.turn.owner.segment_bytes, reverse=True)
        for state in open_ones[: max(0, FILINGS_AHEAD - under_way)]:
            self._seal_and_file(state)

    def _is_due(self, state: _Open, now_ms: int) -> bool:
        """Whether the open segment is big or old enough, or there is something unfiled that no
        record of this turn stands in: a predecessor's, or what could not be read.
        """
        owner = state.turn.owner
        if owner.segment_bytes >= self._settings.segment_bytes:
            return True
        if state.began_ms is None:
            return state.filed_to < owner.position
        return now_ms - state.began_ms >= self._settings.segment_age_ms

    def _seal_and_file(self, state: _Open) -> None:
        """Seal the open segment and start filing everything up to the position."""
        owner = state.turn.owner
        owner.seal()
        state.began_ms = None
        now_ms = self._clock.now_ms()
        mark = FiledMark(owner.position, owner.last.crc, owner.last.published_ms, now_ms)
        request = FilingRequest(
            self._root,
            TRANSACTIONS,
            state.turn.place(state.turn.life.partitions),
            owner.epoch.number,
            owner.epoch.writer,
            self._moment_ms,
            mark,
            self._settings.logs_max,
        )
        state.filing = (self._filer(request), mark)

    async def _finish_filing(self, state: _Open) -> None:
        if state.filing is not None:
            filing, mark = state.filing
            state.filing = None
            try:
                filed = await filing
            except StoreError:
                state.may_file = False
                raise
            state.filed_to = mark.filed_to
            for hole in filed.holes:
                log.error("gap", partition=str(state.turn.owner.path.directory), reason=hole.reason)
            self._metrics.segments_filed.inc()
            self._metrics.entries.inc(filed.lines)
            self._metrics.compacted.inc(filed.compacted.accounts)
            for reason in filed.compacted.left:
                log.warning("compaction_left", partition=state.turn.tp.partition, reason=reason)
            self._metrics.coalesced.inc(filed.joined)
            self._metrics.quarantined.labels(TRANSACTIONS).inc(filed.quarantined)

    async def ended(self, turns: Collection[Turn], *, drained: bool) -> None:
        states = [self._open.pop(turn) for turn in turns]
        if not drained:
            for state in states:
                _leave(state)
            return
        errors = [await self._file_rest(state) for state in states]
        errors += [await self._let_filing_end(state) for state in states]
        # Whatever happened to one partition, the others are sealed and filed.
        for error in errors:
            if error is not None:
                raise error

    async def _file_rest(self, state: _Open) -> StoreError | None:
        error = await self._let_filing_end(state)
        unfiled = state.filed_to < state.turn.owner.position
        if error is None and state.may_file and unfiled:
            self._seal_and_file(state)
        state.turn.owner.seal()
        return error

    async def _let_filing_end(self, state: _Open) -> StoreError | None:
        """Returns what it failed with.

        One that found no space marked nothing: the next owner files the same again.
        """
        try:
            await self._finish_filing(state)
        except NoSpaceError as error:
            log.warning("filing_left", partition=state.turn.tp.partition, reason=str(error))
        except StoreError as error:
            return error
        return None


def _leave(state: _Open) -> None:
    """Seal what is durable, and wait for nothing: what is being filed now, or fails to be, the next
    owner files as well, and readers drop what they meet twice.
    """
    state.turn.owner.seal()
    if state.filing is not None:
        state.filing[0].add_done_callback(_note_failure)


def _note_failure(filing: asyncio.Future[Filed]) -> None:
    if not filing.cancelled() and (error := filing.exception()) is not None:
        log.warning("filing_left", reason=str(error))
