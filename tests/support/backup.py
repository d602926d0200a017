"""A store in a directory, worked on by a real service process and by the real command line."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.port import Outgoing, Placed
from streambackup.coherency.check import CheckReport, check_store
from streambackup.reading.store_reader import StoreReader
from streambackup.runtime.clock import SystemClock
from streambackup.service.store_home import node_id
from tests.support.running import Running
from tests.support.small_disk import SmallDisk

PROGRAM = Path(sys.executable).with_name("streambackup")
LIMIT_S = 50
LEFT_BY_A_KILL = ("torn-tail", "leftover-file")


class Answer(NamedTuple):
    """What a command said."""

    code: int
    output: bytes
    errors: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.output)

    @property
    def text(self) -> str:
        return self.output.decode()


class Backup:
    """A store below *root*, or on a *disk* of its own; its settings file is in *root*."""

    def __init__(
        self,
        root: Path,
        *,
        maildirs: Mapping[str, Path] | None = None,
        settings: Mapping[str, str | int] | None = None,
        disk: SmallDisk | None = None,
    ) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.path = disk.seen / "store" if disk else root / "store"
        self._via = disk.via if disk else ()
        path = disk.path / "store" if disk else self.path
        self._killed = False
        self.config = root / "streambackup.toml"
        self.config.write_text(
            _toml(
                {
                    "store.path": str(path),
                    "http.listen": "127.0.0.1:0",
                    "worker.segment_age_s": 1,
                    **(settings or {}),
                },
                maildirs or {},
            )
        )

    def ask(self, *words: object, code: int = 0, stdin: bytes = b"") -> Answer:
        """Run a command to its end and expect its exit code."""
        done = subprocess.run(
            self.command(*words),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=LIMIT_S,
            env=clean_environment(self.root),
            cwd=self.root,
        )
        answer = Answer(done.returncode, done.stdout, done.stderr.decode())
        assert answer.code == code, f"{words}: {answer.errors}{answer.text}"
        return answer

    def json(self, *words: object, code: int = 0) -> Any:
        """What a command answers with ``--json``."""
        return self.ask(*words, "--json", code=code).json

    def command(self, *words: object) -> list[str]:
        return [*self._via, str(PROGRAM), *map(str, words), "--config", str(self.config)]

    def init(self, *options: object) -> Backup:
        self.ask("init", *options)
        return self

    def publish(
        self,
        lines: Iterable[Mapping[str, object]],
        *,
        files: Mapping[str, bytes] | None = None,
        code: int = 0,
    ) -> list[Any]:
        """Publish *lines*, which may name *files*; what became of each."""
        folder = self.root / "published"
        folder.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
        file = folder / "lines.jsonl"
        file.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        return list(self.json("publish", file, code=code))

    def publish_raw(
        self, records: Iterable[Outgoing], *, each: Callable[[], object] | None = None
    ) -> list[Placed]:
        """Put *records* on the embedded bus as they are, the way a foreign producer might; *each*
        is called after every one. Where they stand.
        """

        async def publish() -> list[Placed]:
            placed = []
            bus = EmbeddedBus(self.path / "state" / node_id() / "bus", clock=SystemClock())
            producer = await bus.producer()
            for record in records:
                placed += await producer.publish([record])
                if each is not None:
                    each()
            await producer.close()
            await bus.close()
            return placed

        return asyncio.run(publish())

    @contextlib.contextmanager
    def service(
        self, *words: object, code: int = 0, findings: Collection[str] = ()
    ) -> Iterator[Running]:
        """A service process inside the block. At the block's end it is told to stop, unless it was
        killed, and ends with the exit *code*; then a check of the store finds nothing but what is
        of the classes *findings*, and what a kill leaves: any notes right after it, some for good.
        """
        log = self.root / "service.log"
        with Running(self.command("run", *words), clean_environment(self.root), log) as running:
            yield running
            if not running.killed:
                running.stop(code=code)
        self._killed |= running.killed
        left = LEFT_BY_A_KILL if self._killed else ()
        self.expect_sound({*findings, *left}, killed=running.killed)

    def expect_sound(self, findings: Collection[str] = (), *, killed: bool = False) -> CheckReport:
        """A check finds nothing but the classes *findings* and, where *killed*, notes."""
        report = check_store(self.path)
        seen = report.faults if killed else report.findings
        unexpected = [finding for finding in seen if finding.finding not in findings]
        assert unexpected == []
        return report

    def recorded(
        self,
        lines: Sequence[Mapping[str, object]],
        *,
        files: Mapping[str, bytes] | None = None,
        findings: Collection[str] = (),
    ) -> list[str]:
        """Publish *lines*, have a service record them all, and stop it; their transactions."""
        with self.service(findings=findings) as running:
            published = self.publish(lines, files=files)
            running.wait_until_caught_up()
        return [one["transaction"] for one in published]

    def reader(self) -> StoreReader:
        """A new view of the store, in this process."""
        return StoreReader(self.path)

    def copy(self, name: str, *, settings: Mapping[str, str | int] | None = None) -> Backup:
        """The store as it is now, copied with plain tools into a place of its own."""
        root = self.root / name
        shutil.copytree(self.path, root / "store")
        return Backup(root, settings=settings)


def clean_environment(home: Path) -> dict[str, str]:
    """The environment without settings of ours."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STREAMBACKUP_")}
    return {**kept, "HOME": str(home), "LANG": "C.UTF-8"}


def tree_of(root: Path) -> dict[str, bytes]:
    """Every file below *root* with its bytes."""
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def names_of(root: Path, wanted: Callable[[Path], bool] = Path.is_file) -> set[str]:
    """What is below *root*, by its path there."""
    return {str(p.relative_to(root)) for p in root.rglob("*") if wanted(p)}


def _toml(settings: Mapping[str, str | int], maildirs: Mapping[str, Path]) -> str:
    lines = []
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        lines.append(f"[{section}]\n{name} = {msgspec.json.encode(value).decode()}\n")
    for account, path in maildirs.items():
        lines.append(f'[[sources.maildir]]\npath = "{path}"\naccount = "{account}"\n')
    return "".join(_joined(lines))


def _joined(lines: list[str]) -> Iterable[str]:
    """TOML takes each table once."""
    tables: dict[str, list[str]] = {}
    for line in lines:
        head, _, body = line.partition("\n")
        if head.startswith("[["):
            tables[line] = []
        else:
            tables.setdefault(head + "\n", []).append(body)
    return (head + "".join(bodies) for head, bodies in tables.items())
