"""Taking records out of quarantine: what this release can use is published again.

A transaction keeps its id, which its own bytes give: published again, by anybody and however often,
it is folded once, fills the hole that it left, and where its item has changed since is recorded as
late. The fold then knows that nothing is missing any more. What is decided of one record is pure.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from streambackup.blobs.loose import LooseBlobs
from streambackup.bus.port import Bus, Outgoing, Producer
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import Entry
from streambackup.domain.transaction import TransactionId
from streambackup.errors import InvalidEventError
from streambackup.events.blob import BlobEvent, Chunk
from streambackup.events.codec import decode_blob_event, decode_mailbox_event, encode_event
from streambackup.events.mailbox import Delete, Put
from streambackup.events.topics import BLOBS, TRANSACTIONS
from streambackup.outbox.content import BATCH_BYTES_MAX, Topics
from streambackup.outbox.stream import ListedStream, Stream, restamped
from streambackup.reading.set_aside import SetAside
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import Clock
from streambackup.runtime.threads import iterate_in_thread
from streambackup.service.generations import open_generation, primary_store, replica_error
from streambackup.service.settings import Settings
from streambackup.service.wiring import open_bus


class Outcome(StrEnum):
    """READY: what a dry run would publish. CAME: it is in the store without that."""

    PUBLISHED = "published"
    READY = "ready"
    CAME = "came"
    UNUSABLE = "unusable"


class Retried(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one record, by its origin; ``reason`` says why it cannot be used."""

    id: str
    outcome: Outcome
    account: str | None = None
    transaction: str | None = None
    reason: str | None = None


class Judged(NamedTuple):
    """What shall become of a record, and what is to be published for that, in the topic of its
    origin's name.
    """

    retried: Retried
    record: Outgoing | None = None


class Sent(NamedTuple):
    """What the store has of an account: the ids, and of each item the last with its time."""

    ids: frozenset[TransactionId]
    last: dict[str, tuple[TransactionId, int]]


def judge_transaction(record: SetAside, sent: Sent) -> Judged:
    """What shall become of a record of transactions, of whose account the store has *sent*."""
    id = None
    told = Retried(str(record.origin), Outcome.READY, account=record.account)
    try:
        event = _single_change(record)
        id = TransactionId(event.source, event.incarnation, event.sequence)
        told = msgspec.structs.replace(told, transaction=str(id))
        if id in sent.ids:
            return Judged(msgspec.structs.replace(told, outcome=Outcome.CAME))
        _check_not_overtaken(id, sent.last.get(event.item), record.published_ms)
        value = encode_event(event)
    except InvalidEventError as error:
        return _unusable(told, error)
    return Judged(told, Outgoing(TRANSACTIONS, record.key, value))


def judge_content(record: SetAside, *, is_stored: bool) -> Judged:
    """What shall become of a record of ``mailbox.blobs``, whose content the store has or not."""
    told = Retried(str(record.origin), Outcome.READY)
    try:
        event = decode_blob_event(record.value)
        if is_stored and isinstance(event, Chunk):
            return Judged(msgspec.structs.replace(told, outcome=Outcome.CAME))
        _check_content(event, record.key)
        value = encode_event(event)
    except InvalidEventError as error:
        return _unusable(told, error)
    return Judged(told, Outgoing(BLOBS, record.key, value))


def _single_change(record: SetAside) -> Put | Delete:
    """The change of one item that this release finds in a record.

    Raises:
        InvalidEventError: there is none that may come so much later.
    """
    event = decode_mailbox_event(record.value)
    if not isinstance(event, Put | Delete):
        raise InvalidEventError(
            "what concerns more than one item would reach what came since; scan the account instead"
        )
    if record.key != event.account.encode():
        raise InvalidEventError(
            "the record's key is not the event's account: which of them is wrong is not known"
        )
    return event


def _check_not_overtaken(
    id: TransactionId, last: tuple[TransactionId, int] | None, published_ms: int
) -> None:
    """That nobody else has changed the item since, whose sequences do not tell that this is older.

    Raises:
        InvalidEventError: somebody has.
    """
    if last is None:
        return
    newest, newest_ms = last
    same = (newest.source, newest.incarnation) == (id.source, id.incarnation)
    if newest_ms >= published_ms and not same:
        raise InvalidEventError(f"{newest} has changed the item since; scan the account instead")


def _check_content(event: BlobEvent, key: bytes | None) -> None:
    """That a record of content is of use by itself.

    Raises:
        InvalidEventError: it is not.
    """
    if key != event.digest.encode():
        raise InvalidEventError("the record's key is not the event's digest")
    if not isinstance(event, Chunk):
        return
    if len(event.data) != event.total or digest_of(event.data) != event.digest:
        raise InvalidEventError("no whole content: its source has to send that again")


def _unusable(told: Retried, error: InvalidEventError) -> Judged:
    reason = " ".join(error.message.split())
    return Judged(msgspec.structs.replace(told, outcome=Outcome.UNUSABLE, reason=reason))


class Retrying:
    """Judges records against the store that *reader* reads, and publishes what can be used where
    the *stream* goes on.
    """

    def __init__(self, bus: Bus, stream: Stream, reader: StoreReader) -> None:
        self._bus = bus
        self._stream = stream
        self._reader = reader
        self._blobs = LooseBlobs(reader.root)
        self._sent: tuple[str | None, Sent] = (None, Sent(frozenset(), {}))

    async def retry(self, records: Iterable[SetAside], *, dry_run: bool) -> AsyncIterator[Retried]:
        """What became of each of *records*, in order; those published are on the bus by then.

        Raises:
            BusError: not all was published. Doing it again is safe.
        """
        judged = self._batches(map(self._judge, records))
        if dry_run:
            async for batch in iterate_in_thread(judged):
                for one in batch:
                    yield one.retried
            return
        producer = await self._bus.producer()
        try:
            async for batch in iterate_in_thread(judged):
                if outgoing := [one.record for one in batch if one.record]:
                    await self._publish(producer, outgoing)
                for one in batch:
                    yield _published(one)
        finally:
            await producer.close()

    async def _publish(self, producer: Producer, records: Sequence[Outgoing]) -> None:
        """Publish until the transactions among *records* stand ahead of every end record."""
        placed = False
        while not placed:
            topics = await self._stream.topics()
            await producer.publish([_in_topics(record, topics) for record in records])
            placed = await self._stream.is_at(topics)

    def _judge(self, record: SetAside) -> Judged:
        """Blocking: it looks into the store."""
        if record.origin.topic == TRANSACTIONS:
            return judge_transaction(record, self._sent_of(record.account))
        is_stored = record.named is not None and self._blobs.exists(record.named)
        return judge_content(record, is_stored=is_stored)

    def _sent_of(self, account: str | None) -> Sent:
        if account is not None and self._sent[0] != account:
            self._sent = (account, _sent_of(self._reader, account))
        return self._sent[1] if account is not None else Sent(frozenset(), {})

    @staticmethod
    def _batches(judged: Iterable[Judged]) -> Iterator[Sequence[Judged]]:
        batch: list[Judged] = []
        size = 0
        for one in judged:
            batch.append(one)
            size += 1 if one.record is None else len(one.record.value or b"")
            if size >= BATCH_BYTES_MAX:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def _sent_of(reader: StoreReader, account: str) -> Sent:
    ids, last = set[TransactionId](), dict[str, tuple[TransactionId, int]]()
    for element in reader.stream(account, []):
        if isinstance(element, Entry):
            ids.update(member.id for member in element.members)
            newest = element.members[-1]
            last[element.item] = newest.id, newest.published_ms
    return Sent(frozenset(ids), last)


def _in_topics(record: Outgoing, topics: Topics) -> Outgoing:
    """*record* as it stands in the generation of *topics*."""
    assert record.value is not None
    if record.topic == TRANSACTIONS:
        value = restamped(record.value, topics.generation)
        return Outgoing(topics.transactions, record.key, value)
    event = msgspec.structs.replace(decode_blob_event(record.value), generation=topics.generation)
    return Outgoing(topics.blobs, record.key, encode_event(event))


def _published(judged: Judged) -> Retried:
    if judged.record is None:
        return judged.retried
    return msgspec.structs.replace(judged.retried, outcome=Outcome.PUBLISHED)


@contextlib.asynccontextmanager
async def open_retrying(
    settings: Settings, reader: StoreReader, *, clock: Clock
) -> AsyncIterator[Retrying]:
    """Retries on the settings' bus, into the generation that is open then.

    Raises:
        StoreError: the store is a replica. TopicError: there are no topics.
    """
    bus = open_bus(settings, clock)
    try:
        await open_generation(bus)
        primary = await primary_store(bus)
        if primary not in {None, reader.config.store}:
            raise replica_error(reader.config.store, primary)
        yield Retrying(bus, ListedStream(bus), reader)
    finally:
        await bus.close()
