"""What an earlier release wrote says the same today, and today's code writes the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streambackup.coherency.check import check_store
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import decode_blob_event, decode_mailbox_event
from streambackup.events.mailbox import MailboxEvent
from streambackup.journal.frame import FrameKind
from streambackup.reading.fingerprint import fingerprint
from streambackup.reading.store_reader import StoreReader
from tests.golden.store import build_store
from tests.golden.telling import TOLD

HERE = Path(__file__).parent
RELEASES = sorted(path for path in HERE.iterdir() if path.is_dir() and path.name[0].isdigit())


class Golden(NamedTuple):
    """A file (or store) of a release, and how it is read and written."""

    path: Path
    tell: Callable[[Path], Any]
    remake: Callable[[Path], bytes] | None

    def __str__(self) -> str:
        return str(self.path.relative_to(HERE))

    @property
    def said(self) -> Any:
        return json.loads(self.path.with_name(f"{self.path.name}.said.json").read_bytes())


def goldens() -> Iterator[Golden]:
    for release in RELEASES:
        for pattern, tell, remake in TOLD:
            found = sorted(release.glob(pattern))
            assert found, f"{release.name} has no {pattern}"
            yield from (Golden(path, tell, remake) for path in found)


GOLDENS = list(goldens())
REMADE = [golden for golden in GOLDENS if golden.remake is not None]


def the_damaged_tail(golden: Golden) -> int:
    """Bytes behind a segment's last frame: the end of an append that did not finish."""
    torn = [said for said in golden.said if "torn" in said] if ".journal" in str(golden) else []
    return sum(damage["end"] - damage["start"] for damage in torn)


@pytest.mark.row("F019", part="golden files")
@pytest.mark.row("F147", part="golden files")
@pytest.mark.parametrize("golden", GOLDENS, ids=str)
def test_what_a_release_wrote_says_what_it_said_then(golden: Golden) -> None:
    assert golden.tell(golden.path) == golden.said


@pytest.mark.parametrize("golden", REMADE, ids=str)
def test_what_is_written_today_is_what_was_written_then(golden: Golden) -> None:
    assert golden.remake is not None
    whole = golden.path.read_bytes()

    assert golden.remake(golden.path) == whole[: len(whole) - the_damaged_tail(golden)]


def test_every_kind_of_event_and_frame_is_among_them() -> None:
    events = [golden.path for golden in GOLDENS if golden.path.suffix == ".msgpack"]
    kinds = {
        type(decode_blob_event(path.read_bytes()))
        if path.name.startswith(("chunk", "reference"))
        else type(decode_mailbox_event(path.read_bytes()))
        for path in events
    }
    frames = {golden.said["kind"] for golden in GOLDENS if golden.path.suffix == ".frame"}

    assert kinds == {*MailboxEvent.__args__, Chunk, Reference}
    assert frames == {kind.name for kind in FrameKind}


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_reading_and_checking_change_nothing(release: Path) -> None:
    before = {path: path.read_bytes() for path in release.rglob("*") if path.is_file()}

    check_store(release / "store")
    fingerprint(StoreReader(release / "store"))

    assert {path: path.read_bytes() for path in release.rglob("*") if path.is_file()} == before


def test_a_store_made_today_has_the_fingerprint_of_the_golden_one(tmp_path: Path) -> None:
    build_store(tmp_path)
    (golden,) = [golden for golden in GOLDENS if golden.path == RELEASES[-1] / "store"]

    assert fingerprint(StoreReader(tmp_path)) == golden.said["fingerprint"]
