import hashlib
import re

import pytest

from tests.corpus import calendars, vcards

CONTENT_LINE = re.compile(r'[A-Z-]+(;[A-Z-]+=("[^"]*"|[^":;,]*))*:.*', re.DOTALL)


def unfolded(content: bytes) -> list[str]:
    """The content lines of a vCard or iCalendar object; both formats fold alike."""
    assert content.endswith(b"\r\n")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    lines = content.decode().replace("\r\n ", "").split("\r\n")[:-1]
    assert all(CONTENT_LINE.fullmatch(line) for line in lines)
    return lines


def values(lines: list[str], name: str) -> list[str]:
    return [line.partition(":")[2] for line in lines if re.split("[:;]", line)[0] == name]


def components(lines: list[str]) -> list[str]:
    """The kinds that begin, in order; fails unless each ends inside what it began in."""
    opened: list[str] = []
    for line in lines:
        if line.startswith("BEGIN:"):
            opened.append(line[6:])
        elif line.startswith("END:"):
            assert opened.pop() == line[4:]
    assert opened == []
    return values(lines, "BEGIN")


def test_vcards_have_what_rfc_6350_demands() -> None:
    uids = set()
    for content in vcards(200):
        lines = unfolded(content)
        assert lines[:2] == ["BEGIN:VCARD", "VERSION:4.0"]
        assert components(lines) == ["VCARD"]
        assert len(values(lines, "FN")) == len(values(lines, "KIND")) == 1
        uids.update(values(lines, "UID"))
    assert len(uids) == 200


def test_groups_name_cards_that_came_before_them() -> None:
    seen: set[str] = set()
    groups = 0
    for content in vcards(100):
        lines = unfolded(content)
        if values(lines, "KIND") == ["group"]:
            groups += 1
            assert len(values(lines, "MEMBER")) == 5
            assert set(values(lines, "MEMBER")) <= seen
        seen.update(values(lines, "UID"))
    assert groups == 10


def test_calendars_have_what_rfc_5545_demands() -> None:
    uids = []
    for content in calendars(200):
        lines = unfolded(content)
        kinds = components(lines)
        items = kinds.count("VEVENT") + kinds.count("VTODO")
        assert lines[:2] == ["BEGIN:VCALENDAR", "VERSION:2.0"]
        assert len(values(lines, "PRODID")) == 1
        assert len(values(lines, "UID")) == len(values(lines, "DTSTAMP")) == items
        assert len(set(values(lines, "UID"))) == 1
        uids.append(values(lines, "UID")[0])
        zones = {line.split(":")[0].partition("TZID=")[2] for line in lines if ";TZID=" in line}
        assert zones == set(values(lines, "TZID"))
    assert len(set(uids)) == 200


def test_every_kind_of_calendar_object_occurs() -> None:
    kinds = {kind for content in calendars(5) for kind in components(unfolded(content))}
    assert kinds == {
        "VCALENDAR",
        "VTIMEZONE",
        "STANDARD",
        "DAYLIGHT",
        "VEVENT",
        "VALARM",
        "VTODO",
    }


@pytest.mark.parametrize(
    ("samples", "digest"),
    [
        (vcards(30), "d708cf80dfa5dfaa6a4dfb25b9b153d7dd2e4608f9e519760ed433d88182ad43"),
        (calendars(30), "0f943d15ff9dfd12a88ef6532f32e90b79b985dea5de026b485f341b06057dfc"),
    ],
    ids=["vcards", "calendars"],
)
def test_samples_are_the_same_on_every_machine(samples: list[bytes], digest: str) -> None:
    assert hashlib.sha256(b"".join(samples)).hexdigest() == digest
