"""Four workers and three brokers disturbed at random, and the store that they leave judged."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.support.backup import Backup
from trials.cluster import Cluster, linked_cluster
from trials.crew import Worker, woken_zombies
from trials.judge import bus_of, caught_up, ends, judge, published
from trials.links import Link
from trials.plan import SESSION_MS, TO_BROKERS, WORKERS, Act, Step, draw_plan
from trials.publishing import Publisher
from trials.zombies import try_zombies

PARTITIONS = 6
PUBLISHERS = 2
LOOK_AFTER_EVERY_S = 0.3
CATCH_UP_LIMIT_S = 240
SETTINGS: dict[str, str | int] = {
    "bus.kafka.session_timeout_ms": SESSION_MS,
    "bus.kafka.heartbeat_interval_ms": 500,
    "bus.kafka.rebalance_timeout_ms": 6_000,
    "worker.revoke_limit_s": 3,
    "worker.batch_records_max": 100,
    "worker.segment_age_s": 2,
    "worker.segment_retention_s": 20,
}
"""So short that ten minutes hold many rounds."""

Say = Callable[[str], None]


@dataclass
class Outcome:
    """What a run showed. ``zombies`` are processes that went on with partitions that others had
    taken meanwhile; ``fell`` are those that ended by themselves.
    """

    seed: int
    records: int = 0
    lost: int = 0
    duplicated: int = 0
    kills: int = 0
    stops: int = 0
    zombies: int = 0
    joins: int = 0
    cuts: int = 0
    broker_kills: int = 0
    rebalances: int = 0
    fell: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def is_sound(self) -> bool:
        return not (self.lost or self.duplicated or self.faults)


def main() -> int:
    options = _options()
    seconds = 60 * options.minutes
    if options.plan:
        print("\n".join(map(str, draw_plan(options.seed, seconds))))
        return 0
    if options.zombies:
        found = try_zombies(options.zombies, options.seed, say)
        _tell(found, as_json=options.json)
        return 1 if found["failed"] else 0
    folder = Path(tempfile.mkdtemp(prefix="streambackup-chaos-"))
    try:
        outcome = asyncio.run(_until_signalled(folder, options.seed, seconds))
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(folder)
        return 130
    if outcome.is_sound:
        shutil.rmtree(folder)
    else:
        say(f"what is left of it: {folder}")
    _tell(asdict(outcome), as_json=options.json)
    return 0 if outcome.is_sound else 1


def _tell(found: Mapping[str, object], *, as_json: bool) -> None:
    lines = (f"{name:12} {value}" for name, value in found.items())
    print(json.dumps(found) if as_json else "\n".join(lines))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--zombies", type=int, metavar="N", help="make N zombie trials instead")
    parser.add_argument("--plan", action="store_true", help="print what would happen, and end")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


def say(text: str) -> None:
    """Tell how it goes; standard output is for the outcome."""
    print(text, file=sys.stderr, flush=True)


async def _until_signalled(folder: Path, seed: int, seconds: float) -> Outcome:
    """A run that SIGTERM ends as Ctrl-C does, with everything that it started."""
    run = asyncio.current_task()
    assert run is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, run.cancel)
    return await disturb(folder, seed, seconds, say)


async def disturb(folder: Path, seed: int, seconds: float, say: Say) -> Outcome:
    """Run everything in *folder* for so many *seconds*, then judge it."""
    plan = draw_plan(seed, seconds)
    say(f"seed {seed}: {len(plan)} steps in {seconds:g} s")
    (folder / "cluster").mkdir()
    async with linked_cluster(folder / "cluster") as cluster:
        run = Run(folder, cluster, Outcome(seed), say)
        async with run.workers_at_work():
            await run.act(plan, seconds)
            await run.catch_up()
        await run.judge()
        run.count()
        return run.outcome


def _through(cluster: Cluster, worker: int) -> tuple[str, str]:
    """The option by which a worker comes through its links."""
    ports = [link.port for link in cluster.links_of_worker(worker)]
    return "--set", "bus.kafka.bootstrap_servers=" + ",".join(f"127.0.0.1:{n}" for n in ports)


def _command(backup: Backup, *options: str) -> list[str]:
    return backup.command("run", "--role", "account", "--role", "blob", *options)


class Run:
    """One run, from a store without a record to its verdict."""

    def __init__(self, folder: Path, cluster: Cluster, outcome: Outcome, say: Say) -> None:
        self.outcome = outcome
        self._folder = folder
        self._cluster = cluster
        self._say = say
        settings = {**SETTINGS, **cluster.brokers.settings}
        self._backup = Backup(folder / "backup", settings=settings)
        self._backup.json("topic", "create", "--partitions", PARTITIONS)
        self._backup.init()
        self._undisturbed = self._backup.copy("undisturbed", settings=settings)
        logs = folder / "logs"
        logs.mkdir()
        self._workers = [
            Worker(number, _command(self._backup, *_through(cluster, number)), logs)
            for number in range(1, WORKERS + 1)
        ]
        self._publishers = [
            Publisher(number, folder / f"publisher-{number}", settings)
            for number in range(1, PUBLISHERS + 1)
        ]

    @contextlib.asynccontextmanager
    async def workers_at_work(self) -> AsyncIterator[None]:
        """They are looked after, and stopped at the block's end."""
        try:
            async with asyncio.TaskGroup() as beside:
                for worker in self._workers:
                    worker.start()
                looking = beside.create_task(self._look_after())
                yield
                looking.cancel()
            for worker in self._workers:
                await asyncio.to_thread(worker.finish)
        finally:
            for worker in self._workers:
                worker.abandon()

    async def _look_after(self) -> None:
        while True:
            for worker in self._workers:
                worker.look_after()
            await asyncio.sleep(LOOK_AFTER_EVERY_S)

    async def act(self, plan: list[Step], seconds: float) -> None:
        """Do what is planned while mail keeps coming."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as beside:
            for publisher in self._publishers:
                beside.create_task(publisher.run(stop))
            began_s = loop.time()
            for step in plan:
                await asyncio.sleep(began_s + step.at_s - loop.time())
                self._say(str(step))
                self._do(step)
            await asyncio.sleep(began_s + seconds - loop.time())
            stop.set()

    def _do(self, step: Step) -> None:
        if step.act in TO_BROKERS or step.act in (Act.START_BROKER, Act.MEND_BROKER):
            self._do_to_broker(step.act, step.who)
        else:
            self._do_to_worker(step.act, self._workers[step.who - 1])

    def _do_to_worker(self, act: Act, worker: Worker) -> None:
        match act:
            case Act.START:
                worker.start()
            case Act.KILL:
                worker.kill()
            case Act.LEAVE:
                worker.leave()
            case Act.STOP:
                worker.stop(time.time())
            case Act.GO_ON:
                worker.go_on(time.time())
            case _:
                self._change(act, self._cluster.links_of_worker(worker.number))

    def _do_to_broker(self, act: Act, number: int) -> None:
        match act:
            case Act.KILL_BROKER:
                self._cluster.kill(number)
                self.outcome.broker_kills += 1
            case Act.START_BROKER:
                self._cluster.start(number)
            case _:
                self._change(act, self._cluster.links_of_broker(number))

    def _change(self, act: Act, links: list[Link]) -> None:
        for link in links:
            match act:
                case Act.CUT | Act.CUT_BROKER:
                    link.cut()
                case Act.SILENCE | Act.SILENCE_BROKER:
                    link.silence()
                case _:
                    link.mend()
        self.outcome.cuts += act not in (Act.MEND, Act.MEND_BROKER)

    async def catch_up(self) -> None:
        """Nothing is disturbed any more: all that is on the bus gets into the store."""
        async with bus_of(self._backup.config) as bus:
            wanted = await ends(bus)
        behind = await caught_up(self._backup.path, wanted, limit_s=CATCH_UP_LIMIT_S)
        if behind is not None:
            self.outcome.faults.append(behind)

    async def judge(self) -> None:
        """What the store holds against the topics, and against an undisturbed worker's."""
        outcome = self.outcome
        async with bus_of(self._backup.config) as bus:
            wanted, on_topic = await ends(bus), await published(bus)
        alone = Worker(0, _command(self._undisturbed), self._folder / "logs")
        alone.start()
        try:
            behind = await caught_up(self._undisturbed.path, wanted, limit_s=CATCH_UP_LIMIT_S)
            await asyncio.to_thread(alone.finish)
        finally:
            alone.abandon()
        told = {one for publisher in self._publishers for one in publisher.told}
        verdict = await asyncio.to_thread(
            judge, self._backup.path, self._undisturbed.path, on_topic | told
        )
        outcome.lost, outcome.duplicated = verdict.lost, verdict.duplicated
        outcome.records = sum(wanted.values())
        outcome.faults += [f"undisturbed: {behind}"] if behind is not None else []
        outcome.faults += verdict.faults
        outcome.faults += [fault for one in self._publishers for fault in one.faults]

    def count(self) -> None:
        outcome, workers = self.outcome, self._workers
        absences = [absence for worker in workers for absence in worker.absences]
        takings = [taking for worker in workers for taking in worker.takings()]
        outcome.kills = sum(worker.kills for worker in workers)
        outcome.stops = len(absences)
        outcome.zombies = woken_zombies(absences, takings)
        outcome.joins = sum(len(worker.lives) for worker in workers)
        for worker in workers:
            worker.look_at_logs()
            outcome.faults += worker.faults
        outcome.fell = [ending for worker in workers for ending in worker.fell]
        outcome.rebalances = self._cluster.rebalances()


if __name__ == "__main__":
    sys.exit(main())
