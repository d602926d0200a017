"""What the benches of the metadata path read: transactions such as a busy mail server makes.

Seeded, about 300 bytes each: arrivals, changed flags, moves and deletes, 1 ms apart. One in twenty
changes the message that the one before changed, as mail programs do.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import random
import time
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaProducer

from streambackup.bus.port import partition_of
from streambackup.domain.entry import ItemType
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA, Delete, Put

TOPIC = "mailbox.transactions"
SOURCE = "mail.example.org"
INCARNATION = "5f0c93e1"
FOLDERS = ("inbox", "archive", "trash", "lists", "projects")
FLAGS: tuple[list[str], ...] = ([], ["seen"], ["seen", "answered"], ["seen", "flagged"])
FIRST_MS = 1_767_225_600_000
RECENT_MESSAGES = 40
BATCH_BYTES = 512 * 1024


class Mailbox:
    """One account, its sequence, and the messages that may still change."""

    def __init__(self, number: int, generation: str) -> None:
        self.key = f"user{number:05d}@example.org".encode()
        self._first_item = number * 1_000_000
        self._items = 0
        self._recent: list[dict[str, Any]] = []
        self._common: dict[str, Any] = {
            "schema": SCHEMA,
            "generation": generation,
            "account": self.key.decode(),
            "source": SOURCE,
            "incarnation": INCARNATION,
        }
        self._sequence = 0

    def next(self, time_ms: int, dice: random.Random) -> bytes:
        """The account's next transaction."""
        what = dice.random()
        if what < 0.45 or len(self._recent) < 2:
            return self._arrival(time_ms, dice)
        if what < 0.55:
            message = self._recent.pop(dice.randrange(len(self._recent)))
            return self._delete(message["item"], time_ms)
        message = self._recent[-1] if what < 0.6 else dice.choice(self._recent)
        changed = {"folder": dice.choice(FOLDERS)} if what > 0.9 else {"flags": dice.choice(FLAGS)}
        message["state"] = message["state"] | changed
        return self._put(message, time_ms)

    def _arrival(self, time_ms: int, dice: random.Random) -> bytes:
        self._items += 1
        number = self._first_item + self._items
        sha256 = hashlib.sha256(b"%d" % number).digest()
        message = {
            "item": str(number),
            "type": ItemType.MESSAGE,
            "digest": base64.b64encode(sha256).decode().replace("/", ","),
            "size": 2_000 + number % 50_000,
            "state": {
                "folder": "inbox",
                "flags": [],
                "sender": f"sender{number % 977}@example.net",
                "subject": f"Minutes {number}",
            },
        }
        if len(self._recent) == RECENT_MESSAGES:
            self._recent.pop(dice.randrange(RECENT_MESSAGES))
        self._recent.append(message)
        return self._put(message, time_ms)

    def _put(self, message: dict[str, Any], time_ms: int) -> bytes:
        self._sequence += 1
        put = Put(sequence=self._sequence, time_ms=time_ms, **message, **self._common)
        return encode_event(put)

    def _delete(self, item: str, time_ms: int) -> bytes:
        self._sequence += 1
        delete = Delete(sequence=self._sequence, time_ms=time_ms, item=item, **self._common)
        return encode_event(delete)


def transactions(
    records: int, accounts: int, generation: str, seed: int = 1
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values, the accounts in turns of a few transactions each."""
    dice = random.Random(seed)
    mailboxes = [Mailbox(number, generation) for number in range(accounts)]
    made = itertools.count()
    while True:
        mailbox = dice.choice(mailboxes)
        for _ in range(dice.randint(1, 3)):
            number = next(made)
            if number == records:
                return
            yield mailbox.key, mailbox.next(FIRST_MS + number, dice)


async def publish(address: str, records: Iterator[tuple[bytes, bytes]], partitions: int) -> int:
    """Publish *records* to the transactions topic; returns their bytes."""
    producer = AIOKafkaProducer(
        bootstrap_servers=address, enable_idempotence=True, max_batch_size=2 * BATCH_BYTES
    )
    await producer.start()
    batches = {partition: producer.create_batch() for partition in range(partitions)}
    sent, now_ms, size = [], time.time_ns() // 1_000_000, 0
    try:
        for key, value in records:
            partition = partition_of(key, partitions)
            batch = batches[partition]
            batch.append(timestamp=now_ms, key=key, value=value)
            size += len(value)
            if batch.size() > BATCH_BYTES:
                sent.append(await producer.send_batch(batch, TOPIC, partition=partition))
                batches[partition] = producer.create_batch()
        for partition, batch in batches.items():
            sent.append(await producer.send_batch(batch, TOPIC, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return size
