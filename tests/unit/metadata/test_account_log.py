"""Account logs: lines that check themselves, in places that no id can escape from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.domain.finding import FindingClass
from streambackup.domain.partition_event import PartitionEvent
from streambackup.journal.line import Line
from streambackup.metadata.account_log import (
    NAME_BYTES_MAX,
    Unreadable,
    account_directory,
    decode_events,
    decode_lines,
    encode_line,
    list_accounts,
    log_files,
    note_unreadable,
    path_name,
)
from streambackup.testing.epochs import elements_of, epoch_name, gap_segment, segment
from streambackup.testing.events import PartitionLog, delete, marker, put

IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


def lines() -> list[Line]:
    log = PartitionLog(
        [
            put("m", 1, subject="ünï\ncode\u2028", n=2**62, real=0.1, flags=[], nothing=None),
            put("m", 2, deep={"a": [{"b": True}]}),
            delete("m", 3),
            marker(),
        ]
    )
    return [element for element in elements_of([segment(log.records)]) if isinstance(element, Line)]


def test_lines_come_back_as_they_were() -> None:
    data = b"".join(map(encode_line, lines()))

    assert list(decode_lines(data)) == lines()
    assert data.count(b"\n") == len(lines())
    assert all(msgspec.json.decode(row)["crc"] for row in data.splitlines())


def test_events_come_back_as_they_were() -> None:
    events = [e for e in elements_of([gap_segment(2, 5)]) if isinstance(e, PartitionEvent)]

    assert list(decode_events(b"".join(map(encode_line, events)))) == events


def test_every_changed_byte_is_noticed() -> None:
    (line, *_) = lines()
    data = encode_line(line)
    for at in range(len(data) - 1):
        changed = bytearray(data)
        changed[at] ^= 1
        found = list(decode_lines(bytes(changed)))

        assert any(isinstance(one, Unreadable) for one in found), at
        assert line not in found


def test_a_torn_line_hides_no_other_and_is_a_note_only_at_the_end() -> None:
    first, second = map(encode_line, lines()[:2])
    at_end = list(decode_lines(first + second[:20]))
    inside = list(decode_lines(first[:20] + b"\n" + second))

    assert at_end == [lines()[0], Unreadable(2, last=True)]
    assert inside == [Unreadable(1, last=False), lines()[1]]
    assert note_unreadable(Unreadable(2, last=True), Path("x")).finding is FindingClass.TORN_TAIL
    assert note_unreadable(Unreadable(1, last=False), Path("x")).is_fault


@given(IDS)
def test_no_id_leads_out_of_its_place(id: str) -> None:
    name = path_name(id)

    assert Path(name).name == name
    assert name not in {"", ".", ".."}
    assert not name.startswith(".")
    assert len(name) <= NAME_BYTES_MAX
    assert "\0" not in name


@given(st.lists(IDS, min_size=2, max_size=2, unique=True))
def test_no_two_ids_share_a_directory(ids: list[str]) -> None:
    root = Path("/r")

    assert account_directory(root, ids[0]) != account_directory(root, ids[1])


@pytest.mark.parametrize(
    "id",
    ["..", ".", "~" + "0" * 64, "a/b", "a\r\nb", "Anna", "anna", "😀", "x" * 300, "%2E", "ä" * 90],
)
def test_an_account_is_listed_by_its_true_id(tmp_path: Path, id: str) -> None:
    directory = account_directory(tmp_path, id)
    directory.mkdir(parents=True)
    if directory.name.startswith("~"):
        (directory / "account").write_bytes(id.encode())

    assert list(list_accounts(tmp_path)) == [(id, directory)]


def test_log_files_are_those_of_epochs_oldest_first(tmp_path: Path) -> None:
    names = [epoch_name(10, 1), epoch_name(9, 2), epoch_name(9, 1)]
    for name in names:
        (tmp_path / f"{name}.jsonl").touch()
    for other in ("account", "account_info", f"{names[0]}.partition.jsonl", ".x.tmp"):
        (tmp_path / other).touch()

    assert [epoch for epoch, _ in log_files(tmp_path)] == sorted(names)
    assert log_files(tmp_path / "nowhere") == []
