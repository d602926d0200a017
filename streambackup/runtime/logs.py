"""Structured logs on standard error: one event name and countable keys per line.

Everything else takes its logger from ``structlog.get_logger()``; only this module knows how a line
is written, and sees to it that no secret is.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from streambackup.runtime.redaction import without_secrets

LIBRARY_REPEATS_MAX = 3  # records of one kind in a while
LIBRARY_WHILE_S = 30.0
LIBRARY_KINDS_MAX = 1_000

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "text", "json"]


def configure_logs(
    level: Level, log_format: Format, stream: TextIO | None = None, *, libraries: bool = True
) -> None:
    """Send everything from *level* up to *stream*, standard error unless given.

    ``auto`` is text on a terminal and JSON elsewhere. Records that *libraries* make with the
    standard library's ``logging`` join ours, from ``warning`` up; or else they are dropped. May be
    called again.
    """
    stream = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    text = log_format == "text" or (log_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            hide_secrets,
            *(_text_lines(colours=stream.isatty()) if text else _json_lines()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(
        handlers=[_LibraryRecords() if libraries else logging.NullHandler()],
        level=max(number, logging.WARNING),
        force=True,
    )


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace the value of every key that names a secret, at any depth."""
    return {key: without_secrets(key, value) for key, value in event.items()}


def _text_lines(*, colours: bool) -> list[Processor]:
    return [
        structlog.dev.ConsoleRenderer(
            colors=colours, exception_formatter=structlog.dev.plain_traceback
        )
    ]


def _json_lines() -> list[Processor]:
    return [structlog.processors.format_exc_info, _json_line]


def _json_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


class _LibraryRecords(logging.Handler):
    """Turns a record of the standard library's ``logging`` into an event of ours.

    A library without its server says the same thing thousands of times a minute. Of each kind of
    record a few are written in a while; the next one written then says how many were left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._repeats: dict[tuple[str, str], _Repeats] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._repeats) > LIBRARY_KINDS_MAX:
            self._repeats.clear()
        kind = (record.name, str(record.msg))
        repeats = self._repeats.setdefault(kind, _Repeats())
        left_out = repeats.written(record.created)
        if left_out is None:
            return
        more = {"left_out": left_out} if left_out else {}
        structlog.get_logger(library=record.name).log(
            record.levelno,
            "library_record",
            text=record.getMessage(),
            exc_info=record.exc_info,
            **more,
        )


class _Repeats:
    """How often one kind of record came of late."""

    def __init__(self) -> None:
        self._since_s = 0.0
        self._count = 0

    def written(self, now_s: float) -> int | None:
        """None where this one is too many, else how many were left out before it."""
        left_out = 0
        if now_s - self._since_s > LIBRARY_WHILE_S:
            left_out = max(self._count - LIBRARY_REPEATS_MAX, 0)
            self._since_s, self._count = now_s, 0
        self._count += 1
        return left_out if self._count <= LIBRARY_REPEATS_MAX else None
