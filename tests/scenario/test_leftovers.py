"""Content on its way when the service ends: what stays of it, and until when."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.events.blob import Chunk
from streambackup.events.codec import encode_event
from tests.support.backup import Backup
from tests.support.running import Running

pytestmark = pytest.mark.scenario

BIG = random.Random(1).randbytes(2 * 1024 * 1024)
CHUNK_BYTES = 256 * 1024


def chunks(begin: int, end: int) -> list[Outgoing]:
    """Those of one upload from one byte to another."""
    digest = digest_of(BIG)
    return [
        Outgoing(
            "mailbox.blobs",
            digest.encode(),
            encode_event(
                Chunk(
                    schema=1,
                    digest=digest,
                    upload="u",
                    offset=at,
                    total=len(BIG),
                    data=BIG[at : at + CHUNK_BYTES],
                )
            ),
        )
        for at in range(begin, end, CHUNK_BYTES)
    ]


def incoming(backup: Backup) -> list[Path]:
    """Directories of turns, and files in them."""
    return sorted((backup.path / "items" / "incoming").glob("**/*"))


def wait_until_on_its_way(backup: Backup, running: Running) -> list[Path]:
    return running.wait_until(
        lambda: [path for path in incoming(backup) if path.is_file()], "half a blob was in a file"
    )


def test_a_service_stopped_in_the_middle_of_an_upload_leaves_nothing_of_it(tmp_path: Path) -> None:
    backup = Backup(tmp_path).init()
    backup.publish_raw(chunks(0, len(BIG) // 2))
    with backup.service() as running:
        wait_until_on_its_way(backup, running)

    assert incoming(backup) == []
    assert backup.expect_sound().notes == []


def test_what_a_kill_leaves_of_an_upload_is_gone_with_the_next_service(tmp_path: Path) -> None:
    backup = Backup(tmp_path).init()
    backup.publish_raw(chunks(0, len(BIG) // 2))
    with backup.service() as running:
        before = wait_until_on_its_way(backup, running)
        running.kill()
    assert set(before) <= set(incoming(backup))

    backup.publish_raw(chunks(len(BIG) // 2, len(BIG)))
    with backup.service(findings={"unnamed-blob"}) as running:
        running.wait_until_caught_up()

    assert incoming(backup) == []
    assert LooseBlobs(backup.path).read(digest_of(BIG)) == BIG
