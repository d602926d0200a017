"""Instants as people write them, and back. Inside, an instant is ms since 1970-01-01 UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple

from streambackup.errors import UsageError

EXAMPLES = "2026-11-21T14:03:22.123Z, '2026-11-21 14:03', '2h ago', yesterday, or 1795269802123"
_DAYS_BACK = {"today": 0, "yesterday": 1}
_EPOCH_MS = re.compile(r"^\d{12,16}$", re.ASCII)
_AGO = re.compile(r"^(\d{1,9})\s*(ms|s|m|h|d|w)\s+ago$", re.ASCII)
_ISO = re.compile(
    r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?)?\s?(Z|[+-]\d\d(:?\d\d)?)?$",
    re.ASCII | re.IGNORECASE,
)
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999


class Instant(NamedTuple):
    """``zone`` is what was assumed (``Europe/Rome``, ``+01:00``) where the text named none."""

    time_ms: int
    zone: str | None = None


def parse_instant(text: str, *, now_ms: int, zone: tzinfo | None = None) -> Instant:
    """The instant that *text* names: ISO 8601 with or without zone, ms since the epoch, before
    *now_ms* (``90m ago``), or a day's beginning (``yesterday``). Without a zone it is read in
    *zone* (None: the machine's); finer than a ms is cut off.

    Raises:
        UsageError: it names none, or one that *zone* skips.
    """
    words = text.strip()
    if words == "now":
        return Instant(now_ms)
    if _EPOCH_MS.match(words):
        return Instant(int(words))
    ago = _AGO.match(words)
    if ago:
        return Instant(max(0, now_ms - int(ago[1]) * _UNIT_MS[ago[2]]))
    if words in _DAYS_BACK:
        day = _local_day(now_ms, zone) - timedelta(days=_DAYS_BACK[words])
        return _in_zone(day, zone)
    if not _ISO.match(words):
        raise _unreadable(text)
    try:
        return _in_zone(
            datetime.fromisoformat(re.sub(r",| (?=[Z+-])", _plain, words.upper())), zone
        )
    except (ValueError, OverflowError) as error:
        raise _unreadable(text) from error


def format_instant(time_ms: int) -> str:
    """ISO 8601 in UTC with ms, as ``parse_instant`` reads it; beyond year 9999 the plain ms."""
    if time_ms > _LAST_MS:
        return str(time_ms)
    moment = _EPOCH + timedelta(milliseconds=time_ms)
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _local_day(now_ms: int, zone: tzinfo | None) -> datetime:
    """The beginning of the day of *now_ms* in *zone*, without naming the zone."""
    local = (_EPOCH + timedelta(milliseconds=now_ms)).astimezone(zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def _in_zone(found: datetime, zone: tzinfo | None) -> Instant:
    if found.tzinfo is not None:
        return Instant(_to_ms(found))
    local = found.replace(tzinfo=zone) if zone else found.astimezone()
    if local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != found:
        raise UsageError(
            f"{found} does not exist in the zone {local.tzname()}: the clock was set forward",
            hint="Name the zone: end the time with Z or +01:00.",
        )
    return Instant(_to_ms(local), f"{local.tzname()} ({local.isoformat()[-6:]})")


def _plain(found: re.Match[str]) -> str:
    """A decimal comma as a point; nothing for the blank before an offset."""
    return "." if found[0] == "," else ""


def _to_ms(moment: datetime) -> int:
    since = moment - _EPOCH
    return max(0, (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000)


def _unreadable(text: str) -> UsageError:
    hint = f"Write a time like {EXAMPLES}."
    if text.strip().isdecimal():
        hint += " Milliseconds since 1970 have 12 to 16 digits: they begin in 1973."
    return UsageError(f"{text!r} is not a time", hint=hint)
