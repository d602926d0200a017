"""Mail that keeps coming while a chaos run goes on, by ``streambackup publish``."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path

from tests.support.backup import Backup, clean_environment

ACCOUNTS = [f"user{number}@example.org" for number in range(40)]
FIRST_MS = 1_700_000_000_000
CONTENTS = 400
BIG_BYTES = 1_300_000
BURST_LINES = 12
BURSTS_EVERY_S = 0.25
END_LIMIT_S = 180


class Publisher:
    """A process fed with lines at a steady rate. ``told`` holds account and id of what it said to
    be published, when it has ended.
    """

    def __init__(self, number: int, folder: Path, settings: Mapping[str, str | int]) -> None:
        self._number = number
        self._folder = folder
        own = {**settings, "store.state_path": str(folder / "state")}
        self._backup = Backup(folder, settings=own)
        self._chance = random.Random(number)
        self._answer = folder / "answer.json"
        self._accounts: list[str] = []
        self.told = set[tuple[str, str]]()
        self.faults: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until *stop*, then wait until all is on the bus."""
        self._write_contents()
        with self._answer.open("wb") as answer, (self._folder / "publish.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *self._backup.command("publish", "--json"),
                stdin=asyncio.subprocess.PIPE,
                stdout=answer,
                stderr=log,
                env=clean_environment(self._folder),
                cwd=self._folder,
            )
            try:
                await self._feed(process, stop)
                async with asyncio.timeout(END_LIMIT_S):
                    code = await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()
        if code != 0:
            self.faults.append(f"publisher {self._number} ended with {code}")
            return
        for said, account in zip(
            json.loads(self._answer.read_bytes()), self._accounts, strict=True
        ):
            self.told.add((account, said["transaction"]))

    async def _feed(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> None:
        assert process.stdin is not None
        while not stop.is_set():
            process.stdin.write(b"".join(self._line() for _ in range(BURST_LINES)))
            await process.stdin.drain()
            try:
                await asyncio.wait_for(stop.wait(), BURSTS_EVERY_S)
            except TimeoutError:
                continue
        process.stdin.close()

    def _write_contents(self) -> None:
        for number in range(CONTENTS):
            size = BIG_BYTES if number % 100 == 99 else self._chance.randrange(20_000)
            data = random.Random(f"{self._number} {number}").randbytes(size)
            (self._folder / f"{number}.txt").write_bytes(data)

    def _line(self) -> bytes:
        """A change of one of few items of an account, some in the moment of the one before."""
        number = len(self._accounts)
        account = self._chance.choice(ACCOUNTS)
        self._accounts.append(account)
        line: dict[str, object] = {
            "account": account,
            "item": f"note{self._number}-{self._chance.randrange(5)}",
            "type": "document",
            "time_ms": FIRST_MS + 7 * number,
        }
        if self._chance.random() < 0.1:
            return json.dumps({**line, "event": "delete", "type": None}).encode() + b"\n"
        line["state"] = {"name": "note", "modified_ms": number}
        line["file"] = f"{number // 8 % CONTENTS}.txt"
        return json.dumps(line).encode() + b"\n"
