"""The commands of docs/operating.md, run in their order on a real broker."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from streambackup.runtime.metrics import Metrics
from tests.real_parts import SCRIPTS
from tests.support.backup import Backup
from tests.support.running import Running

PAGE = SCRIPTS.parent / "docs" / "operating.md"
STORE, COPY = "/var/lib/streambackup", "/mnt/copy"
ACCOUNT = "anna@example.org"
PLAIN_TOOLS = {"cp", "mkdir", "mv"}


def commands() -> Iterator[list[str]]:
    for line in PAGE.read_text().splitlines():
        if line.startswith("$ "):
            yield shlex.split(line.removeprefix("$ "))


def note(number: int) -> dict[str, object]:
    item = f"note-{number}"
    state = {"name": item}
    return {
        "account": ACCOUNT,
        "item": item,
        "type": "document",
        "state": state,
        "file": f"{number}.txt",
    }


class Operator:
    """Types the commands, with the paths of the page where they are here."""

    def __init__(self, backup: Backup, stack: ExitStack) -> None:
        self.backup = backup
        self._stack = stack
        self._published = 0
        self.running: Running | None = None

    def type(self, words: list[str]) -> None:
        places = {STORE: str(self.backup.path), COPY: str(self.backup.root / "copy")}
        here = [re.sub(f"{STORE}|{COPY}", lambda found: places[found[0]], w) for w in words]
        if here[0] in PLAIN_TOOLS:
            self.stop()
            subprocess.run(here, check=True)
        elif here[1] == "run":
            self.running = self._stack.enter_context(self.backup.service())
            self.publish(5)
        else:
            self.backup.ask(*here[1:])

    def publish(self, count: int) -> None:
        numbers = range(self._published, self._published + count)
        files = {f"{number}.txt": b"content %d" % number for number in numbers}
        self.backup.publish([note(number) for number in numbers], files=files)
        self._published += count

    def stop(self) -> None:
        if self.running is not None:
            self.running.wait_until_caught_up()
            self.running = None
            self._stack.close()

    def expect_all(self) -> None:
        items = self.backup.reader().history(ACCOUNT).items
        assert sorted(items) == sorted(f"note-{number}" for number in range(self._published))
        for number in range(self._published):
            answer = self.backup.ask("item", "cat", ACCOUNT, f"note-{number}")
            assert answer.output == b"content %d" % number


@pytest.mark.scenario
@pytest.mark.timeout(240)
def test_from_the_first_topic_to_a_store_rebuilt(tmp_path: Path, fresh_kafka: str) -> None:
    """What is published between the copy and the loss comes back from the topics."""
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": fresh_kafka}
    with ExitStack() as stack:
        operator = Operator(Backup(tmp_path, settings=settings), stack)
        for words in commands():
            if words[0] == "mv":
                operator.publish(5)
            operator.type(words)
        operator.stop()

    operator.expect_all()
    assert (tmp_path / "store.lost").is_dir()


def test_there_is_something_to_type() -> None:
    typed = list(commands())

    assert len(typed) > 15
    assert {words[0] for words in typed} == {"streambackup", *PLAIN_TOOLS}


def test_every_metric_that_an_alert_asks_for_is_there() -> None:
    asked = set(re.findall(r"streambackup_\w+", PAGE.read_text()))
    ending = {"counter": "_total", "histogram": "_bucket"}
    there = {family.name + ending.get(family.type, "") for family in Metrics().registry.collect()}

    assert asked - there == set()
    assert len(asked) > 5
