"""What lies below ``items/``: each content once, under its name, for plain tools to read."""

from __future__ import annotations

import base64
import hashlib
import itertools
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streambackup.blobs.loose import LooseBlobs
from streambackup.domain.digest import digest_of
from tests.corpus.mailbox_writer import Writer
from tests.support.backup import Backup, names_of
from tests.support.recorded import recorded_snapshot

pytestmark = pytest.mark.scenario

ACCOUNTS = [f"user{number}@example.org" for number in range(50)]
LETTER = b"From: all@example.org\nSubject: to all\n\n" + b"the same line for everybody\n" * 200


def digest_by_hand(content: bytes) -> str:
    return base64.b64encode(hashlib.sha256(content).digest()).decode().replace("/", ",")


def with_a_comma() -> bytes:
    """Content whose digest has a slash among its first two characters."""
    candidates = (b"note %d\n" % number for number in itertools.count())
    return next(content for content in candidates if "," in digest_by_hand(content)[:2])


def message(account: str, item: str, file: str, *flags: str) -> dict[str, Any]:
    state = {"folder": "in", "flags": list(flags)}
    return {"account": account, "item": item, "type": "message", "state": state, "file": file}


def gunzipped(path: Path) -> bytes:
    return subprocess.run(["gunzip", "-c"], input=path.read_bytes(), stdout=subprocess.PIPE).stdout


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Backup:
    """Fifty accounts that got the same letter, and one note."""
    backup = Backup(tmp_path_factory.mktemp("blobs") / "backup").init()
    lines = [message(account, "letter", "letter.eml") for account in ACCOUNTS]
    lines.append(message(ACCOUNTS[0], "note", "note.eml"))
    backup.recorded(lines, files={"letter.eml": LETTER, "note.eml": with_a_comma()})
    return backup


@pytest.mark.row("F072")
def test_fifty_accounts_with_one_letter_share_one_blob(backup: Backup) -> None:
    names = [path.name for path in backup.path.glob("items/*/*") if path.is_file()]
    assert sorted(names) == sorted(map(digest_by_hand, (LETTER, with_a_comma())))
    reader = backup.reader()
    digests = [reader.history(account).items["letter"].states[0].digest for account in ACCOUNTS]
    assert digests == [digest_by_hand(LETTER)] * 50
    assert backup.json("status")["blobs"] == 2


@pytest.mark.row("F071")
@pytest.mark.row("F073")
def test_plain_gunzip_gives_the_content_that_the_name_is_the_checksum_of(backup: Backup) -> None:
    files = [path for path in backup.path.glob("items/*/*") if path.is_file()]
    contents = {path.name: gunzipped(path) for path in files}
    assert set(contents.values()) == {LETTER, with_a_comma()}
    assert {name: digest_by_hand(content) for name, content in contents.items()} == {
        name: name for name in contents
    }


@pytest.mark.row("F074")
def test_a_digest_is_written_with_a_comma_below_its_first_two_characters(backup: Backup) -> None:
    digest = digest_by_hand(with_a_comma())
    assert "," in digest[:2]
    assert f"{digest[:2]}/{digest}" in names_of(backup.path / "items")
    shown = backup.json("item", "show", ACCOUNTS[0], "note")
    assert (shown["digest"], shown["blob"]) == (digest, f"items/{digest[:2]}/{digest}")


@pytest.mark.row("F065")
@given(st.binary())
def test_blobs_spread_over_at_most_4096_directories(content: bytes) -> None:
    """Two characters of 64, so 4096 names at most."""
    alphabet = string.ascii_letters + string.digits + "+,"
    assert len(alphabet) == 64
    path = LooseBlobs(Path("store")).path_of(digest_of(content))
    assert path.parts[:2] == ("store", "items")
    assert len(path.parts[2]) == 2
    assert set(path.parts[2]) <= set(alphabet)


@pytest.mark.row("F075")
def test_the_level_is_a_setting_and_any_mixture_stays_readable(tmp_path: Path) -> None:
    backup = Backup(tmp_path / "backup").init()
    settings = ["compression_level=0", "compression_level=9", "compression=zstd"]
    contents = {setting: LETTER + setting.encode() for setting in settings}
    for number, (setting, content) in enumerate(contents.items()):
        with backup.service("--set", f"blobs.{setting}") as running:
            backup.publish([message("ann", str(number), "x.eml")], files={"x.eml": content})
            running.wait_until_caught_up()
    sizes = [LooseBlobs(backup.path).stored_size(digest_of(c)) for c in contents.values()]
    assert sizes[0] >= len(contents[settings[0]]) > 5 * sizes[1]
    assert len(contents[settings[2]]) > 5 * sizes[2]
    for number, content in enumerate(contents.values()):
        assert backup.ask("item", "cat", "ann", str(number)).output == content


@pytest.mark.row("F015")
def test_a_change_of_metadata_writes_no_content(tmp_path: Path) -> None:
    """Of ten flag changes of a mail nothing comes to the topic of contents or to ``items/``."""
    user = Writer(tmp_path / "Maildir")
    user.deliver()
    backup = Backup(tmp_path / "backup", maildirs={"ann": tmp_path / "Maildir"}).init()

    def recorded() -> bool:
        return recorded_snapshot(backup.reader(), "ann") == user.snapshot()

    def written(status: dict[str, Any], metrics: bytes) -> object:
        ends = [p["end"] for p in status["partitions"] if p["topic"] == "mailbox.blobs"]
        counted = [line for line in metrics.splitlines() if line.startswith(b"streambackup_blob")]
        files = [(p, p.stat().st_ino, p.stat().st_mtime_ns) for p in backup.path.glob("items/*/*")]
        return ends, counted, sorted(files)

    with backup.service() as running:
        running.wait_until(recorded, "the mail was recorded")
        before = written(running.wait_until_caught_up(), running.get("/metrics"))
        for _ in range(10):
            user.mark()
            running.wait_until(recorded, "its new flags were recorded")
        assert written(running.wait_until_caught_up(), running.get("/metrics")) == before
