"""What a simulated source publishes: lives of a few mailboxes, made so that rules are met often."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec

from streambackup.bus.port import Outgoing, partition_of
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position
from streambackup.events.blob import Chunk, Reference
from streambackup.events.codec import encode_event
from streambackup.events.config import Generation
from streambackup.events.mailbox import Delete, EmptyFolder, FolderDelete, MarkerKind, Put
from streambackup.testing.events import (
    TIME_MS,
    delete,
    empty_folder,
    folder_delete,
    id_of,
    marker,
    put,
)
from streambackup.testing.simulation.producers import Producers

PARTITIONS = 2
"""Of the first generation; later ones have more."""
ACCOUNTS = ("anna", "bert", "cora", "dora")
MESSAGES = ("m1", "m2", "m3")
FOLDERS = ("f1", "f2")
SOURCES = ("imap", "web")
STEPS_MS = (0, 0, 0, 20, 40, 100, 1_000, -150)
CONTENTS = 8
GIVE_UP_BYTES = 3_000
"""Behind so much of its partition an upload is given up."""

Change = Put | Delete | EmptyFolder | FolderDelete


class Mailboxes:
    """Publishes with every ``step``; ``stored`` are digests whose content came whole, ``never``
    those that are named and whose content never comes.
    """

    def __init__(self, seed: str, producers: Producers) -> None:
        self._random = random.Random(seed)
        self._producers = producers
        self._time_ms = TIME_MS
        self._numbers: dict[tuple[str, str], int] = {}
        self._sent: list[Change] = []
        self._places: dict[str, Position] = {}
        self._uploads = 0
        self.never: set[str] = set()

    @property
    def stored(self) -> set[str]:
        return set(self._places)

    def step(self) -> None:
        """A burst: some content, then some transactions. Sources wait where none is open."""
        if self._producers.waiting:
            return
        if self._random.random() < 0.5:
            self._publish_contents()
        self._producers.publish(self._burst())

    def step_late(self, *, follows: bool) -> None:
        """A burst of transactions that comes late to a generation that is closed, or about to be;
        who *follows* sends it again in the next.
        """
        if self._producers.had_others:
            self._producers.publish_late(self._burst(), follows=follows)

    def _burst(self) -> list[Outgoing]:
        return [self._record() for _ in range(self._random.randint(1, 6))]

    def _record(self) -> Outgoing:
        kind = self._random.randint(0, 39)
        if kind < 2:
            return self._marker()
        if kind < 4:
            key = self._random.choice([account.encode() for account in ACCOUNTS])
            return Outgoing(self._topic, key, self._random.choice([None, b"", b"{", b"\x81"]))
        if kind < 9 and self._sent:
            return self._outgoing(self._again(conflict=kind == 4))
        event = self._event(kind)
        self._sent.append(event)
        return self._outgoing(event)

    def _event(self, kind: int) -> Change:
        if kind < 12:
            event: Change = delete(self._random.choice(MESSAGES), **self._head())
        elif kind < 14:
            return empty_folder(self._random.choice(FOLDERS), **self._head())
        elif kind < 15:
            return folder_delete(self._random.choice(FOLDERS), **self._head())
        else:
            event = self._put()
        if self._random.random() < 0.1:
            event = msgspec.structs.replace(event, after=self._condition())
        return event

    def _head(self) -> dict[str, Any]:
        account, source = self._random.choice(ACCOUNTS), self._random.choice(SOURCES)
        number = self._numbers.get((account, source), 0) + self._random.choice([1] * 20 + [2])
        self._numbers[account, source] = number
        self._time_ms += self._random.choice(STEPS_MS)
        return {"account": account, "source": source, "sequence": number, "time_ms": self._time_ms}

    def _put(self) -> Put:
        chance = self._random
        if chance.random() < 0.1:
            item, parent = chance.choice(FOLDERS), chance.choice([None, *FOLDERS])
            return put(item, **self._head(), type=ItemType.FOLDER, name=item, parent=parent)
        state: dict[str, Any] = {
            "folder": chance.choice(FOLDERS),
            "flags": chance.choice([[], ["seen"], ["flagged"]]),
            "last_login_ms": chance.choice([1, 2]),
        }
        change = chance.choice([None, None, None, 1, 2, 3])
        digest = self._digest()
        event = put(chance.choice(MESSAGES), **self._head(), change=change, digest=digest, **state)
        place = None if digest is None else self._places.get(digest)
        return msgspec.structs.replace(event, content=place)

    def _digest(self) -> str | None:
        if self._random.random() < 0.03:
            digest = digest_of(b"never %d" % self._random.randint(0, 3))
            self.never.add(digest)
            return digest
        known = sorted(self._places)
        return self._random.choice([None, *known]) if known else None

    def _condition(self) -> Any:
        ids = [id_of(event.sequence, source=event.source) for event in self._sent[-6:]]
        return self._random.choice(["never-seen", *ids])

    def _again(self, *, conflict: bool) -> Change:
        """Something a second time, honestly or with other content."""
        event = self._random.choice(self._sent[-12:])
        if conflict and isinstance(event, Put):
            event = msgspec.structs.replace(event, state={**event.state, "flags": ["draft"]})
        return event

    def _marker(self) -> Outgoing:
        kind = self._random.choice([MarkerKind.SCAN_BEGIN, MarkerKind.SCAN_DONE])
        account = self._random.choice([None, *ACCOUNTS])
        event = marker(kind, account=account, time_ms=self._time_ms)
        if account is None:
            partition = self._random.randrange(PARTITIONS)
            return Outgoing(self._topic, None, encode_event(event), partition)
        return Outgoing(self._topic, account.encode(), encode_event(event))

    @property
    def _topic(self) -> str:
        return self._producers.now.transactions_topic

    # Content.

    def let_uploads_end(self) -> None:
        """Publish so much content to every partition that uploads which got no end are given up."""
        self._producers.publish([])
        for generation in self._producers.generations:
            for partition in range(generation.blob_partitions):
                self._fill(generation, partition)

    def _fill(self, generation: Generation, partition: int) -> None:
        size = GIVE_UP_BYTES + 1
        numbers = itertools.count(1)
        content = b"0" * size
        while partition_of(digest_of(content).encode(), generation.blob_partitions) != partition:
            content = b"%d" % next(numbers) * size
        chunk = self._chunk(generation, digest_of(content), content, 0, content)
        ((_, offset),) = self._producers.publish([chunk])
        self._places[digest_of(content)] = Position(generation.generation, partition, offset)

    def _publish_contents(self) -> None:
        """Several uploads whose chunks are mixed; not all of them have an end."""
        now = self._producers.now
        uploads = [self._upload(now) for _ in range(self._random.randint(1, 3))]
        last: dict[str, int] = {}
        records: list[Outgoing] = []
        while any(uploads):
            upload = self._random.choice([upload for upload in uploads if upload])
            digest, record, is_last = upload.pop(0)
            if is_last:
                last[digest] = len(records)
            records.append(record)
        places = self._producers.publish(records) if records else []
        for digest, at in last.items():
            self._places[digest] = Position(now.generation, *places[at])

    def _upload(self, now: Generation) -> list[tuple[str, Outgoing, bool]]:
        """Chunks, each with its digest and whether it makes the content whole."""
        chance = self._random
        number = chance.randrange(CONTENTS)
        content = b"content %d " % number * (1 + 40 * number)
        digest = digest_of(content)
        if digest in self._places and chance.random() < 0.5:
            event = Reference(schema=1, digest=digest, size=len(content), generation=now.generation)
            record = Outgoing(now.blobs_topic, digest.encode(), encode_event(event))
            return [(digest, record, True)]
        self._uploads += 1
        size = chance.choice([100, 700, len(content)])
        wrong = chance.random() < 0.05
        pieces = [(at, content[at : at + size]) for at in range(0, len(content), size)]
        chunks = [
            (digest, self._chunk(now, digest, content, at, data.upper() if wrong else data), False)
            for at, data in pieces
        ]
        if chance.random() < 0.1:
            return chunks[:-1]
        if not wrong:
            chunks[-1] = (*chunks[-1][:2], True)
        return chunks

    def _chunk(
        self, generation: Generation, digest: str, content: bytes, at: int, data: bytes
    ) -> Outgoing:
        event = Chunk(
            schema=1,
            generation=generation.generation,
            digest=digest,
            upload=f"upload-{self._uploads}",
            offset=at,
            total=len(content),
            data=data,
        )
        return Outgoing(generation.blobs_topic, digest.encode(), encode_event(event))

    def _outgoing(self, event: Change) -> Outgoing:
        return Outgoing(self._topic, event.account.encode(), encode_event(event))
