"""Contacts and calendar objects as servers keep them: valid vCard 4.0 and iCalendar."""

from __future__ import annotations

import uuid
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random

from tests.corpus.words import phrase, prose

_FIRST_DAY = datetime(2024, 1, 1, 8, 0, tzinfo=UTC)
_ZONE = (
    "BEGIN:VTIMEZONE",
    "TZID:Europe/Berlin",
    "BEGIN:STANDARD",
    "DTSTART:19961027T030000",
    "TZOFFSETFROM:+0200",
    "TZOFFSETTO:+0100",
    "TZNAME:CET",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10",
    "END:STANDARD",
    "BEGIN:DAYLIGHT",
    "DTSTART:19810329T020000",
    "TZOFFSETFROM:+0100",
    "TZOFFSETTO:+0200",
    "TZNAME:CEST",
    "RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3",
    "END:DAYLIGHT",
    "END:VTIMEZONE",
)
_ZONE_LOCAL = "TZID=Europe/Berlin"
_FOLD_OCTETS = 75
_GROUP_EVERY = 10


def vcards(n: int, seed: int = 1) -> list[bytes]:
    """*n* vCards (RFC 6350), each with its own UID; every tenth is a group of those before it."""
    random = Random(f"vcards/{seed}")
    uids: list[str] = []
    cards = []
    for number in range(1, n + 1):
        uid = _uid(random)
        is_group = number % _GROUP_EVERY == 0
        lines = _group(random, uids) if is_group else _contact(random, number)
        cards.append(
            _content_lines(["BEGIN:VCARD", "VERSION:4.0", f"UID:{uid}", *lines, "END:VCARD"])
        )
        uids.append(uid)
    return cards


def _uid(random: Random) -> str:
    return uuid.UUID(int=random.getrandbits(128), version=4).urn


def _contact(random: Random, number: int) -> list[str]:
    charset = random.choice(("us-ascii", "us-ascii", "utf-8", "iso-8859-1"))
    family, given = phrase(random, 1, charset), phrase(random, 1)
    lines = [
        "KIND:individual",
        f"FN:{_text(given + ' ' + family)}",
        f"N:{_text(family)};{_text(given)};;;",
        f"EMAIL;TYPE=work;PREF=1:contact{number}@example.org",
        f'TEL;VALUE=uri;TYPE="voice,cell":tel:+49-30-555-{random.randrange(10_000):04d}',
        f"REV:{_utc(_FIRST_DAY + timedelta(minutes=random.randrange(500_000)))}",
    ]
    if random.random() < 0.6:
        lines.append(f"ORG:{_text(phrase(random, 2))};{_text(phrase(random, 1))}")
        lines.append(f"TITLE:{_text(phrase(random, 2))}")
    if random.random() < 0.5:
        street = f"{random.randrange(1, 200)} {phrase(random, 2)}"
        lines.append(f"ADR;TYPE=home:;;{_text(street)};{_text(phrase(random, 1))};;12345;")
    if random.random() < 0.3:
        lines.append(f"BDAY:{random.randrange(1950, 2005)}{random.randrange(1, 13):02d}15")
    if random.random() < 0.3:
        lines.append(f"NOTE:{_text(prose(random, random.randint(80, 900), charset))}")
    if random.random() < 0.1:
        lines.append(f"PHOTO:data:image/jpeg;base64,{b64encode(random.randbytes(3_000)).decode()}")
    return lines


def _group(random: Random, members: list[str]) -> list[str]:
    chosen = random.sample(members, min(len(members), 5))
    name = _text(phrase(random, 2))
    return ["KIND:group", f"FN:{name}", *(f"MEMBER:{member}" for member in chosen)]


def calendars(n: int, seed: int = 1) -> list[bytes]:
    """*n* iCalendar objects (RFC 5545), each one event or task with its own UID.

    Single and whole-day events, series with an exception and a moved occurrence in a time zone,
    meetings with attendees and an alarm, and tasks follow each other.
    """
    random = Random(f"calendars/{seed}")
    kinds: tuple[Callable[[Random, str], list[str]], ...] = (
        _single,
        _series,
        _whole_day,
        _meeting,
        _task,
    )
    head = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//streambackup//corpus//EN"]
    return [
        _content_lines([*head, *kinds[number % len(kinds)](random, _uid(random)), "END:VCALENDAR"])
        for number in range(n)
    ]


def _component(kind: str, uid: str, lines: list[str]) -> list[str]:
    return [f"BEGIN:{kind}", f"UID:{uid}", f"DTSTAMP:{_utc(_FIRST_DAY)}", *lines, f"END:{kind}"]


def _start(random: Random) -> datetime:
    return _FIRST_DAY + timedelta(days=random.randrange(700), minutes=15 * random.randrange(36))


def _summary(random: Random) -> str:
    charset = random.choice(("us-ascii", "us-ascii", "utf-8"))
    return f"SUMMARY:{_text(phrase(random, random.randint(2, 6), charset))}"


def _single(random: Random, uid: str) -> list[str]:
    start = _start(random)
    lines = [
        f"DTSTART:{_utc(start)}",
        f"DTEND:{_utc(start + timedelta(hours=1))}",
        _summary(random),
    ]
    if random.random() < 0.5:
        lines.append(f"DESCRIPTION:{_text(prose(random, random.randint(100, 1_500), 'utf-8'))}")
    return _component("VEVENT", uid, lines)


def _whole_day(random: Random, uid: str) -> list[str]:
    day = _start(random)
    lines = [f"DTSTART;VALUE=DATE:{day:%Y%m%d}", _summary(random), "TRANSP:TRANSPARENT"]
    return _component("VEVENT", uid, lines)


def _series(random: Random, uid: str) -> list[str]:
    """Ten weekly events in local time: the second is left out, the third is an hour later."""
    first = _start(random)
    second, third = first + timedelta(weeks=1), first + timedelta(weeks=2)
    later = third + timedelta(hours=1)
    master = [
        f"DTSTART;{_ZONE_LOCAL}:{_local(first)}",
        "DURATION:PT45M",
        "RRULE:FREQ=WEEKLY;COUNT=10",
        f"EXDATE;{_ZONE_LOCAL}:{_local(second)}",
        _summary(random),
    ]
    moved = [
        f"RECURRENCE-ID;{_ZONE_LOCAL}:{_local(third)}",
        f"DTSTART;{_ZONE_LOCAL}:{_local(later)}",
        "DURATION:PT45M",
        _summary(random),
    ]
    return [*_ZONE, *_component("VEVENT", uid, master), *_component("VEVENT", uid, moved)]


def _meeting(random: Random, uid: str) -> list[str]:
    start = _start(random)
    lines = [
        f"DTSTART:{_utc(start)}",
        "DURATION:PT1H30M",
        _summary(random),
        f"LOCATION:{_text(phrase(random, 2) + ', ' + phrase(random, 1))}",
        "ORGANIZER;CN=Office:mailto:office@example.org",
    ]
    for number in range(random.randint(1, 6)):
        lines.append(
            f'ATTENDEE;CN="{phrase(random, 1)}, {number}";ROLE=REQ-PARTICIPANT;'
            f"PARTSTAT=NEEDS-ACTION;RSVP=TRUE:mailto:guest{number}@example.com"
        )
    alarm = [
        "BEGIN:VALARM",
        "ACTION:DISPLAY",
        "DESCRIPTION:Reminder",
        "TRIGGER:-PT15M",
        "END:VALARM",
    ]
    return _component("VEVENT", uid, lines + alarm)


def _task(random: Random, uid: str) -> list[str]:
    due = _start(random) + timedelta(days=7)
    lines = [_summary(random), f"DUE:{_utc(due)}", f"PRIORITY:{random.randint(1, 9)}"]
    if random.random() < 0.3:
        lines += ["STATUS:COMPLETED", f"COMPLETED:{_utc(due)}", "PERCENT-COMPLETE:100"]
    return _component("VTODO", uid, lines)


def _utc(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%SZ}"


def _local(moment: datetime) -> str:
    return f"{moment:%Y%m%dT%H%M%S}"


def _text(value: str) -> str:
    """*value* as a TEXT value, escaped alike in both formats."""
    escaped = value.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\n", "\\n")


def _content_lines(lines: list[str]) -> bytes:
    return b"".join(_folded(line) for line in lines)


def _folded(line: str) -> bytes:
    """A content line of at most 75 octets, the rest in continuation lines, no character torn."""
    pieces = [b""]
    for octets in (character.encode() for character in line):
        if len(pieces[-1]) + len(octets) > _FOLD_OCTETS:
            pieces.append(b" ")
        pieces[-1] += octets
    return b"\r\n".join(pieces) + b"\r\n"
