"""Content to the bus: whole files as chunks, verified before anything of them is sent."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from io import BufferedReader

import msgspec
import structlog

from streambackup.bus.port import Outgoing, Producer
from streambackup.domain.digest import digest_name
from streambackup.domain.transaction import Position
from streambackup.errors import (
    AccessError,
    BusError,
    PositionLostError,
    StreamBackupError,
    TopicError,
)
from streambackup.events.blob import CHUNK_BYTES_MAX, BlobEvent, Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.runtime.retry import keep_trying
from streambackup.sources.port import Content

log = structlog.get_logger()

BATCH_BYTES_MAX = 4 * 1024 * 1024
BATCH_RECORDS_MAX = 1_000

Pause = Callable[[float], Awaitable[object]]


class Topics(msgspec.Struct, frozen=True, kw_only=True):
    """Where a producer publishes: the names of the topics and the id of their generation."""

    generation: str
    transactions: str = TRANSACTIONS
    blobs: str = BLOBS


class _Batch(msgspec.Struct):
    """Records to publish at once, and which of them completes which file."""

    records: list[Outgoing] = []
    completes: dict[int, int] = {}
    size: int = 0


def passes(error: StreamBackupError) -> bool:
    """True where the bus is only away, so that the same call may succeed later."""
    return isinstance(error, BusError) and not isinstance(
        error, TopicError | AccessError | PositionLostError
    )


async def publish_content(
    producer: Producer,
    files: Sequence[Content],
    *,
    topics: Topics,
    known: Collection[str] = (),
    pause: Pause = asyncio.sleep,
) -> list[Position | None]:
    """Publish what each of *files* holds; returns where, in order, once the bus has acknowledged.

    A digest in *known*, or one that stands earlier in *files*, is only referred to. None stands for
    a file that is gone or no longer holds what its digest names. Big files are streamed, small ones
    share a batch; about 4 MiB are held at a time. While the bus is away this waits, then sends
    anew, under upload ids of their own, the files that were not acknowledged.

    Raises:
        TopicError: the topic does not exist or refuses the chunks.
    """
    places: list[Position | None] = [None] * len(files)
    waiting = dict(enumerate(files))
    sent = set(known)

    async def attempt() -> None:
        batches = _batches(dict(waiting), set(sent), topics)
        while batch := await asyncio.to_thread(next, batches, None):
            placed = await producer.publish(batch.records)
            for file, record in batch.completes.items():
                place = placed[record]
                places[file] = Position(topics.generation, place.partition, place.offset)
                sent.add(waiting.pop(file).digest)

    await keep_trying(attempt, passing=passes, what="publish content", pause=pause)
    return places


def _batches(files: dict[int, Content], sent: set[str], topics: Topics) -> Iterator[_Batch]:
    """The records of *files* in batches. Blocking: it reads and hashes."""
    batch = _Batch()
    for number, content in files.items():
        events = _reference(content) if content.digest in sent else _chunks(content)
        for event, last in events:
            if last:
                batch.completes[number] = len(batch.records)
                sent.add(content.digest)
            value = encode_event(msgspec.structs.replace(event, generation=topics.generation))
            batch.records.append(Outgoing(topics.blobs, content.digest.encode(), value))
            batch.size += len(value)
            if batch.size >= BATCH_BYTES_MAX or len(batch.records) >= BATCH_RECORDS_MAX:
                yield batch
                batch = _Batch()
    if batch.records:
        yield batch


def _reference(content: Content) -> Iterator[tuple[BlobEvent, bool]]:
    yield Reference(schema=SCHEMA, digest=content.digest, size=content.size), True


def _chunks(content: Content) -> Iterator[tuple[BlobEvent, bool]]:
    """The chunks of one upload, each with whether it is the last.

    There are none where the file is gone or holds something else. A big file that changes between
    the reading that verifies and the one that sends leaves an upload without an end, as a killed
    process does.
    """
    upload = secrets.token_hex(8)
    try:
        with content.path.open("rb") as file:
            if content.size > CHUNK_BYTES_MAX and not _holds(file, content):
                return
            hasher = hashlib.sha256()
            for offset in range(0, content.size or 1, CHUNK_BYTES_MAX):
                data = file.read(CHUNK_BYTES_MAX)
                hasher.update(data)
                last = offset + CHUNK_BYTES_MAX >= content.size
                if last and (file.read(1) or digest_name(hasher.digest()) != content.digest):
                    return
                yield (
                    Chunk(
                        schema=SCHEMA,
                        digest=content.digest,
                        upload=upload,
                        offset=offset,
                        total=content.size,
                        data=data,
                    ),
                    last,
                )
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        log.warning("content_unreadable", path=str(content.path), reason=error.strerror)


def _holds(file: BufferedReader, content: Content) -> bool:
    held = digest_name(hashlib.file_digest(file, "sha256").digest())
    file.seek(0)
    return held == content.digest
