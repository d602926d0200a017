"""Dovecot's keywords: what the letters in file names mean, in each folder something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inotify_simple import Event as RawEvent

from streambackup.domain.entry import ItemType
from streambackup.events.mailbox import Put
from streambackup.sources.maildir.watcher import Watcher
from tests.support.maildir import ACCOUNT, source_of
from tests.support.watching import Watching, watching

MAIL = b"From: ann@example.org\r\nSubject: plans\r\n\r\nSee you.\r\n"


def deliver(root: Path, name: str) -> Path:
    return written(root / "tmp" / "x", MAIL).rename(root / "cur" / name)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def states(seen: Watching) -> list[dict[str, Any]]:
    held = seen.view.items.get(ACCOUNT, {}).values()
    return [item.state for item in held if item.type == ItemType.MESSAGE]


def count(seen: Watching) -> int:
    return len(seen.view.messages(ACCOUNT))


async def test_dovecot_s_letters_are_tags_also_when_they_change_their_meaning(
    root: Path, state: Path
) -> None:
    keywords = root / "dovecot-keywords"
    keywords.write_bytes(b"0 Work\n")
    deliver(root, "1.host:2,Sab")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        assert states(seen)[0]["tags"] == ["Work"]

        replacement = root / "dovecot-keywords.lock"
        replacement.write_bytes(b"0 Work\n1 Later\n")
        replacement.rename(keywords)
        await seen.until(lambda: states(seen)[0]["tags"] == ["Work", "Later"])

    keywords.write_bytes(b"0 Play\n1 Later\n")
    async with watching(source_of(root), state, seen):
        await seen.until(lambda: states(seen)[0]["tags"] == ["Play", "Later"])

    assert len(seen.producer.blob_events()) == 1


async def test_keywords_that_cannot_be_read_are_said_and_their_tags_come_later(
    root: Path, state: Path
) -> None:
    keywords = root / "dovecot-keywords"
    keywords.symlink_to("elsewhere")
    deliver(root, "1.host:2,Sa")
    source = source_of(root)
    async with watching(source, state) as seen:
        await seen.until(lambda: count(seen) == 1)
        assert states(seen)[0]["tags"] == []
        (warning,) = source.warnings
        assert "dovecot-keywords" in warning
        assert "tags may be out of date" in warning

        written(root / "new-keywords", b"0 Work\n").rename(keywords)
        await seen.until(lambda: states(seen)[0]["tags"] == ["Work"])

    assert source.warnings == []


async def test_tags_stay_while_their_keywords_cannot_be_read(root: Path, state: Path) -> None:
    keywords = written(root / "dovecot-keywords", b"0 Work\n")
    path = deliver(root, "1.host:2,a")
    async with watching(source_of(root), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        keywords.unlink()
        keywords.mkdir()
        path.rename(path.with_name("1.host:2,Sa"))
        await seen.until(lambda: states(seen)[0]["flags"] == ["seen"])
        keywords.rmdir()
        written(root / "new-keywords", b"0 Play\n").rename(keywords)
        await seen.until(lambda: states(seen)[0]["tags"] == ["Play"])

    puts = [event for event in seen.view.history if isinstance(event, Put)]
    tags = [put.state["tags"] for put in puts if put.type == ItemType.MESSAGE]
    assert tags == [["Work"], ["Work"], ["Play"]]


class DeafToKeywords(Watcher):
    """As where what made a file unreadable ends without a word of the kernel."""

    def _gather(self, event: RawEvent) -> None:
        if event.name != "dovecot-keywords":
            super()._gather(event)


async def test_keywords_that_could_not_be_read_are_asked_for_again_without_a_change(
    root: Path, state: Path
) -> None:
    (root / "dovecot-keywords").symlink_to("elsewhere")
    deliver(root, "1.host:2,a")
    async with watching(source_of(root, DeafToKeywords), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        written(root / "new-keywords", b"0 Work\n").rename(root / "dovecot-keywords")
        await seen.until(lambda: states(seen)[0]["tags"])

    assert states(seen)[0]["tags"] == ["Work"]


async def test_keywords_that_could_not_be_read_are_asked_for_again_with_the_next_change(
    root: Path, state: Path
) -> None:
    keywords = root / "dovecot-keywords"
    keywords.symlink_to("elsewhere")
    deliver(root, "1.host:2,a")
    async with watching(source_of(root, DeafToKeywords), state) as seen:
        await seen.until(lambda: count(seen) == 1)
        written(root / "new-keywords", b"0 Work\n").rename(keywords)
        deliver(root, "2.host:2,a")
        await seen.until(lambda: count(seen) == 2)

    assert [held["tags"] for held in states(seen)] == [["Work"], ["Work"]]
