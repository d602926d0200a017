"""All brokers away while mail arrives: the service waits quietly, and goes on by itself."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streambackup.runtime.clock import SystemClock
from tests.corpus.mailbox_writer import Writer
from tests.support.backup import Backup
from tests.support.own_kafka import OwnKafka
from tests.support.recorded import recorded_snapshot
from tests.support.running import Running

pytestmark = [pytest.mark.scenario, pytest.mark.kafka, pytest.mark.timeout(300)]

ANN = "ann@example.org"
TICKS = os.sysconf("SC_CLK_TCK")
FAILURES = 5
"""Of looking how far the bus is: a few while it is away, each with its own time-out."""
LINES_PER_S_MAX = 10
"""A producer left to itself writes 12,000."""
BUSY_MAX = 0.35
"""Of a core. A loop that does not pause takes all of one."""

AWAY: dict[str, tuple[Callable[[OwnKafka], None], Callable[[OwnKafka], None]]] = {
    "killed": (OwnKafka.kill, OwnKafka.start),
    "frozen": (OwnKafka.freeze, OwnKafka.thaw),
}


@pytest.fixture
def kafka(kafka_address: str, tmp_path: Path) -> Iterator[OwnKafka]:
    folder = tmp_path / "services"
    folder.mkdir()
    kafka = OwnKafka(folder)
    yield kafka
    kafka.stop()


@pytest.mark.parametrize("way", AWAY)
def test_the_service_waits_without_a_busy_loop_and_without_a_flood(
    way: str, kafka: OwnKafka, tmp_path: Path
) -> None:
    goes, comes = AWAY[way]
    root = tmp_path / "Maildir"
    user = Writer(root)
    settings = {"bus.kind": "kafka", "bus.kafka.bootstrap_servers": kafka.address}
    backup = Backup(tmp_path / "backup", settings=settings, maildirs={ANN: root})
    backup.json("topic", "create", "--partitions", 2)
    backup.init()
    with backup.service() as running:
        user.deliver()
        wait_until_recorded(backup, running, user)
        goes(kafka)
        for _ in range(20):
            user.deliver()
        running.wait_until(lambda: counted(running, "errors_total") > 0, "it was noticed")
        spent = Spent(running)
        running.wait_until(lambda: counted(running, "errors_total") >= FAILURES, "time went by")
        lines_per_s, busy = spent.since()
        comes(kafka)
        wait_until_recorded(backup, running, user)
        running.wait_until_caught_up()

    assert lines_per_s < LINES_PER_S_MAX, running.log.decode()
    assert busy < BUSY_MAX


class Spent:
    """What a service wrote and computed, in a time."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._clock = SystemClock()
        self._begin = self._now()

    def since(self) -> tuple[float, float]:
        """Log lines for each second, and of a core's time its share."""
        lines, cpu_s, now_s = (new - old for new, old in zip(self._now(), self._begin, strict=True))
        return lines / now_s, cpu_s / now_s

    def _now(self) -> tuple[int, float, float]:
        fields = Path(f"/proc/{self._running.pid}/stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
        return self._running.log.count(b"\n"), cpu_s, self._clock.monotonic_s()


def counted(running: Running, metric: str) -> float:
    """The sum of a metric over its labels."""
    text = running.get("/metrics").decode()
    return sum(map(float, re.findall(rf"^streambackup_{metric}{{.*}} (.*)$", text, re.MULTILINE)))


def wait_until_recorded(backup: Backup, running: Running, user: Writer) -> None:
    running.wait_until(
        lambda: recorded_snapshot(backup.reader(), ANN) == user.snapshot(), "all was recorded"
    )
