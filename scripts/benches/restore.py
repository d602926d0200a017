"""One item of a big store from the command's start to bytes on disk, against importing alone.

The store is filled by the service itself: 200,000 messages of 200 accounts, published on the
embedded bus, each with one of 2,000 contents and each changed once. Then the service is stopped,
and all that SQLite holds is deleted. Every run restores some other message. The rival starts Python
and imports what the command had loaded when it ended.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benches._harness import Bench, alternate, say
from benches._service import Service, Store, scratch
from streambackup.bus.port import Outgoing
from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.domain.transaction import Position
from streambackup.events.codec import encode_event
from streambackup.events.mailbox import SCHEMA, Put
from streambackup.outbox.content import Topics, publish_content
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.service.opening import open_stream
from streambackup.service.settings_loading import load_settings
from streambackup.service.store_home import open_store
from streambackup.sources.port import Content

ROWS = ["F122"]
BENCH = Bench("restore", unit="s", at_most=2.0)
CONTENTS = 2_000
PUBLISHED_AT_ONCE = 10_000
FIRST_MS = 1_767_225_600_000
LATER_MS = 3_600_000
AT_EXIT = """
import atexit, os, sys
known = {*sys.modules, "sitecustomize"}
@atexit.register
def tell():
    with open(os.environ["MODULES_FILE"], "w") as file:
        file.write("\\n".join(name for name in sys.modules if name not in known))
"""
"""For a ``sitecustomize``: a Python that ends leaves the names of the modules that it loaded."""


def main() -> None:
    parser = BENCH.parser(__doc__, pairs=15)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--items", type=int, default=200_000)
    options = parser.parse_args()
    with scratch("restore") as directory:
        store = Store(directory)
        store.run("init")
        mails = Mails(directory / "contents", options.accounts, options.items)
        say(f"filling the store with {options.items:,} items of {options.accounts:,} accounts")
        fill(store, mails)
        ours = Ours(store, mails, directory)
        rival = Rival(ours.modules(), directory)
        pairs = alternate(ours, rival, pairs=options.pairs)
    also = {"items": options.items, "accounts": options.accounts, "modules": rival.modules}
    BENCH.finish(pairs, as_json=options.json, also=also)


class Mail(NamedTuple):
    """A message of the store, by its number; ``of_account`` is its number in its account."""

    account: str
    of_account: int
    item: str
    content: int


class Mails:
    """What is published, and what therefore has to come back."""

    def __init__(self, directory: Path, accounts: int, items: int) -> None:
        self._accounts = accounts
        self._items = items
        self._dice = random.Random(1)
        directory.mkdir()
        self.contents = [self._write(directory / str(number)) for number in range(CONTENTS)]

    def _write(self, path: Path) -> Content:
        body = self._dice.randbytes(self._dice.randrange(500, 5_000)).hex("\n", 30)
        data = f"Subject: Minutes {path.name}\n\n{body}\n".encode()
        path.write_bytes(data)
        return Content(digest_of(data), len(data), path)

    def mail(self, number: int) -> Mail:
        of_account, account = divmod(number, self._accounts)
        name = f"user{account:05d}@example.org"
        return Mail(name, of_account, f"m{number}", number % CONTENTS)

    def any(self) -> Mail:
        return self.mail(self._dice.randrange(self._items))

    def events(self, places: Sequence[Position | None]) -> Iterator[Put]:
        """Every message as it arrives, and as it was read later."""
        for number in range(self._items):
            mail = self.mail(number)
            content = self.contents[mail.content]
            arrived = Put(
                schema=SCHEMA,
                account=mail.account,
                source="mail.example.org",
                incarnation="5f0c93e1",
                sequence=2 * mail.of_account + 1,
                time_ms=FIRST_MS + number,
                item=mail.item,
                type=ItemType.MESSAGE,
                digest=content.digest,
                size=content.size,
                content=places[mail.content],
                state={"folder": "inbox", "flags": [], "subject": f"Minutes {number}"},
            )
            yield arrived
            yield msgspec.structs.replace(
                arrived,
                sequence=arrived.sequence + 1,
                time_ms=arrived.time_ms + LATER_MS,
                state=arrived.state | {"flags": ["seen"]},
            )


def fill(store: Store, mails: Mails) -> None:
    """Publish *mails*, let the service record them, and leave nothing of SQLite's behind."""
    records = asyncio.run(publish(store, mails))
    service = Service(store)
    service.wait_for("streambackup_durable_position", records)
    service.stop()
    shutil.rmtree(store.path / "state")
    os.sync()


async def publish(store: Store, mails: Mails) -> int:
    """Put *mails* on the embedded bus. Returns how many records it holds then."""
    clock = SystemClock()
    settings = load_settings(config=None, flags=[f"store.path={store.path}"])
    home = open_store(settings.store, disk=Disk(), clock=clock)
    async with open_stream(settings, home, clock) as (bus, generation, _):
        topics = Topics(generation=generation.generation)
        producer = await bus.producer()
        places = await publish_content(producer, mails.contents, topics=topics)
        events = mails.events(places)
        while some := list(itertools.islice(events, PUBLISHED_AT_ONCE)):
            await producer.publish(
                [
                    Outgoing(topics.transactions, event.account.encode(), encode_event(event))
                    for event in some
                ]
            )
        await producer.close()
        bounds = await bus.bounds([topics.transactions, topics.blobs])
        return sum(held.end for held in bounds.values())


class Ours:
    """``restore item`` into a directory of its own; what comes back is compared."""

    def __init__(self, store: Store, mails: Mails, directory: Path) -> None:
        self._store = store
        self._mails = mails
        self._directory = directory
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self._restore(None)

    def modules(self) -> list[str]:
        """Names of the modules that the command has loaded when it ends, in their order."""
        hook = self._directory / "hook"
        hook.mkdir()
        (hook / "sitecustomize.py").write_text(AT_EXIT)
        names = self._directory / "modules"
        self._restore({**os.environ, "PYTHONPATH": str(hook), "MODULES_FILE": str(names)})
        return names.read_text().splitlines()

    def _restore(self, environment: dict[str, str] | None) -> float:
        mail = self._mails.any()
        place = self._directory / f"restored-{next(self._numbers)}"
        command = self._store.arguments(
            "restore", "item", mail.account, mail.item, "--to", str(place)
        )
        seconds = seconds_of(command, environment)
        (restored,) = place.rglob("*.eml")
        assert restored.read_bytes() == self._mails.contents[mail.content].path.read_bytes()
        return seconds


class Rival:
    """Python that imports *modules* and ends."""

    def __init__(self, modules: Sequence[str], directory: Path) -> None:
        self.modules = len(modules)
        script = directory / "import_all.py"
        script.write_text("".join(f"import {name}\n" for name in modules))
        self._command = [sys.executable, str(script)]

    def __call__(self) -> float:
        return seconds_of(self._command)


def seconds_of(command: Sequence[str], environment: dict[str, str] | None = None) -> float:
    """How long *command* takes from its start to its end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
