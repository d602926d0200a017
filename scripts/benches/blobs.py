"""Seconds until a corpus of mail is durable in the store, against cp -r and sync -f of its tree."""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benches._harness import Bench, alternate, say
from benches._service import Service, Store, own_kafka, scratch
from streambackup.domain.digest import digest_of
from streambackup.events.topics import BLOBS
from streambackup.outbox.content import Topics, publish_content
from streambackup.runtime.clock import SystemClock
from streambackup.service.settings import BusSettings, KafkaSettings, Settings
from streambackup.service.wiring import open_bus
from streambackup.sources.port import Content
from tests.corpus import BENCH as CORPUS
from tests.corpus import Shape, Statistics, write_maildirs

ROWS = ["F076"]
BENCH = Bench("blobs", unit="s", at_most=2.0)
PARTITIONS = 12


def main() -> None:
    parser = BENCH.parser(__doc__)
    parser.add_argument("--records", type=int, default=CORPUS.mails, help="mails in the corpus")
    options = parser.parse_args()
    with scratch("blobs") as directory, own_kafka(directory) as address:
        corpus = directory / "corpus"
        mails = write_corpus(corpus, options.records)
        store = Store.on_kafka(directory, address, PARTITIONS)
        store.keep_fresh()
        say(f"publishing {mails.mails:,} mails, {mails.bytes:,} bytes")
        records = asyncio.run(publish(address, store.generation, sorted(corpus.iterdir())))
        os.sync()
        ours, copy = FromKafka(store, records), Copy(directory, corpus)
        pairs = alternate(ours, copy, pairs=options.pairs)
        maildir_s = from_maildir(directory, corpus, mails)
    also = {
        **mails.as_dict(),
        "stored_bytes": ours.stored_bytes,
        "stored_ratio": round(ours.stored_bytes / mails.bytes, 4),
        "cpu_s": round(statistics.median(ours.cpu_s), 2),
        "maildir_embedded_s": round(maildir_s, 2),
        "maildir_embedded_ratio": round(maildir_s / statistics.median(p.rival for p in pairs), 2),
    }
    BENCH.finish(pairs, as_json=options.json, also=also)


def write_corpus(corpus: Path, mails: int) -> Statistics:
    """The reference corpus, or a smaller one of the same kind."""
    say(f"writing a corpus of {mails:,} mails")
    share = mails / CORPUS.mails
    accounts = max(2, round(CORPUS.accounts * share))
    shape = Shape(accounts=accounts, mails=mails, copies=round(CORPUS.copies * share))
    return write_maildirs(corpus, shape)


async def publish(address: str, generation: str, accounts: Sequence[Path]) -> int:
    """Put every mail on the bus, account by account; returns how many records that made."""
    kafka = KafkaSettings(bootstrap_servers=address)
    bus = open_bus(Settings(bus=BusSettings(kind="kafka", kafka=kafka)), SystemClock())
    producer = await bus.producer()
    try:
        for account in accounts:
            await publish_content(producer, contents(account), topics=Topics(generation=generation))
        return sum(bounds.end for bounds in (await bus.bounds([BLOBS])).values())
    finally:
        await producer.close()
        await bus.close()


def contents(account: Path) -> list[Content]:
    mails = sorted(path for path in account.rglob("*") if path.parent.name in ("cur", "new"))
    return [Content(digest_of(mail.read_bytes()), mail.stat().st_size, mail) for mail in mails]


class FromKafka:
    """The service with the blob role, from its first look at the topic until all is durable.

    It is not asked often how far it is: an answer costs it some milliseconds of its main thread.
    """

    def __init__(self, store: Store, records: int) -> None:
        self._store = store
        self._records = records
        self.cpu_s: list[float] = []
        self.stored_bytes = 0

    def __call__(self) -> float:
        self._store.begin_again()
        service = Service(self._store, "--role", "blob")
        service.wait_for("streambackup_durable_position", self._records, look_every_s=0.5)
        seconds = self._store.last_written_s() - service.began_s
        self.cpu_s.append(service.stop())
        items = self._store.path / "items"
        self.stored_bytes = sum(file.stat().st_size for file in items.rglob("*=") if file.is_file())
        return seconds


class Copy:
    """What plain tools need to have the same tree a second time, durable.

    Copies stay until the end, as stores do, so that neither side pays for what was deleted.
    """

    def __init__(self, directory: Path, corpus: Path) -> None:
        self._directory = directory
        self._corpus = corpus
        self._copies = itertools.count()

    def __call__(self) -> float:
        target = self._directory / f"copied-{next(self._copies)}"
        began = time.perf_counter()
        subprocess.run(["cp", "-r", self._corpus, target], check=True)
        subprocess.run(["sync", "-f", target], check=True)
        return time.perf_counter() - began


def from_maildir(directory: Path, corpus: Path, mails: Statistics) -> float:
    """Seconds from the first look at the Maildirs until all their mail is durable, embedded bus."""
    settings = directory / "maildirs.toml"
    accounts = sorted(corpus.iterdir())
    settings.write_text(
        "".join(
            f'[[sources.maildir]]\npath = "{account}"\naccount = "{account.name}@example.org"\n'
            for account in accounts
        )
    )
    embedded = directory / "embedded"
    embedded.mkdir()
    store = Store(embedded, ["--config", str(settings)])
    store.run("init")
    os.sync()
    service = Service(store)
    service.wait_for("streambackup_blobs_stored_total", mails.mails - mails.duplicates)
    service.wait_for("streambackup_entries_total", mails.mails)
    seconds = time.time() - service.began_s
    service.stop()
    return seconds


if __name__ == "__main__":
    main()
