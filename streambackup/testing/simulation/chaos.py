"""What happens to a simulated world."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

from streambackup.bus.port import TopicPartition
from streambackup.testing.simulation.mailboxes import Mailboxes
from streambackup.testing.simulation.process import group_of
from streambackup.testing.simulation.watcher import Watcher
from streambackup.testing.simulation.world import World

PAUSES_S = (0.0, 0.01, 0.05, 0.3, 1.0, 4.0)
AWAY_S = (0.3, 3.0, 9.0, 13.0, 25.0)
"""How long a process is stopped: some are members no more when they go on."""
LOOKS = 4
"""At a store while its topics grow."""
JUMPS_MS = (-3_600_000, -5_000, -1, 90_000, 3_600_000)

Happening = Callable[[], Awaitable[None]]


class Chaos:
    """Draws one happening after the other; the same seed draws the same."""

    def __init__(self, world: World, mailboxes: Mailboxes, watcher: Watcher, seed: str) -> None:
        self._world = world
        self._watcher = watcher
        self._mailboxes = mailboxes
        self._random = random.Random(seed)
        self._among: asyncio.TaskGroup | None = None
        self._happenings: list[tuple[int, Happening]] = [
            (14, self._publish),
            (3, self._kill),
            (4, self._kill_at_a_step),
            (2, self._lose_power),
            (3, self._lose_power_at_a_step),
            (6, self._send_away),
            (2, self._fill_disk),
            (1, self._fill_disk_at_sync),
            (2, self._fail_sync),
            (3, self._rebalance),
            (2, self._repeat),
            (2, self._move_clock),
            (3, self._retain),
            (1, self._end_one),
            (4, self._look),
            (2, self._grow),
            (1, self._grow_in_trouble),
            (3, self._publish_late),
        ]
        self._forerunners: list[Happening] = [self._kill_at_a_step, self._fail_sync, self._kill]
        """Behind which power may be lost as well."""

    async def reign(self, happenings: int, among: asyncio.TaskGroup) -> None:
        """So many things happen, with pauses between, to processes that are started again."""
        self._among = among
        weights = [weight for weight, _ in self._happenings]
        for _ in range(happenings):
            if not self._world.is_dark:
                self._world.fill_slots(among)
            await asyncio.sleep(self._random.choice(PAUSES_S))
            (_, happening) = self._random.choices(self._happenings, weights)[0]
            self._world.note(happening.__name__)
            await happening()
            if happening in self._forerunners and self._random.random() < 0.5:
                await self._lose_power_at_a_step()
            if self._world.is_dark:
                await self._lose_power()
        if self._world.is_dark:
            await self._lose_power()

    async def _publish(self) -> None:
        self._mailboxes.step()

    async def _publish_late(self) -> None:
        self._mailboxes.step_late(follows=self._random.random() < 0.8)

    async def _grow(self) -> None:
        """Sometimes two at once."""
        assert self._among is not None
        for _ in range(self._random.choice([1, 1, 2])):
            self._world.grow(self._among, self._random)

    async def _grow_in_trouble(self) -> None:
        """A worker is away while the topics grow: what was its to read is read last."""
        if living := self._world.living:
            self._random.choice(living).send_away(self._random.choice(AWAY_S))
        await self._grow()
        for _ in range(LOOKS):
            self._mailboxes.step()
            await asyncio.sleep(self._random.choice(PAUSES_S))
            self._watcher.look()

    async def _kill(self) -> None:
        if living := self._world.living:
            self._random.choice(living).kill()

    async def _kill_at_a_step(self) -> None:
        if living := self._world.living:
            self._random.choice(living).dies_in = self._random.randint(1, 30)

    async def _lose_power(self) -> None:
        await self._world.lose_power(self._random.randrange(1_000_000))
        self._watcher.look_after_a_crash()

    async def _lose_power_at_a_step(self) -> None:
        self._world.power_lost_in = self._random.randint(1, 100)

    async def _send_away(self) -> None:
        if living := self._world.living:
            process = self._random.choice(living)
            at_step = self._random.choice([0, self._random.randint(1, 40)])
            process.send_away(self._random.choice(AWAY_S), at_step=at_step)

    async def _look(self) -> None:
        self._watcher.look()

    async def _fill_disk(self) -> None:
        disk = self._world.disk
        disk.full_at_write = disk.writes + self._random.randint(1, 5)
        self._world.loop.call_later(self._random.choice(AWAY_S), disk.make_space)

    async def _fill_disk_at_sync(self) -> None:
        disk = self._world.disk
        disk.full_at_sync = disk.syncs + self._random.randint(1, 5)
        self._world.loop.call_later(self._random.choice(AWAY_S), disk.make_space)

    async def _fail_sync(self) -> None:
        disk = self._world.disk
        disk.fails_at_sync = disk.syncs + self._random.randint(1, 5)

    async def _rebalance(self) -> None:
        """The second time the members have hardly begun."""
        group = group_of(self._random.choice(self._world.broker.topics))
        self._world.groups.rebalance(group)
        if self._random.random() < 0.5:
            await asyncio.sleep(self._world.groups.times.heartbeat_s)
            self._world.groups.rebalance(group)

    async def _repeat(self) -> None:
        """A broker hands out again what it had handed out."""
        tp = self._a_partition()
        begin, acknowledged = await self._reach(tp)
        if acknowledged > begin:
            self._world.broker.repeat(tp, self._random.randint(begin, acknowledged))

    async def _move_clock(self) -> None:
        clocks = [self._world.clock, *(process.clock for process in self._world.living)]
        self._random.choice(clocks).offset_ms += self._random.choice(JUMPS_MS)

    async def _retain(self) -> None:
        """Retention takes what was acknowledged: from now on only the store has it."""
        tp = self._a_partition()
        begin, acknowledged = await self._reach(tp)
        if acknowledged > begin:
            self._world.broker.trim(tp, self._random.randint(begin, acknowledged))

    async def _reach(self, tp: TopicPartition) -> tuple[int, int]:
        """Where *tp* begins, and how much of it is acknowledged."""
        acknowledged = (await self._world.broker.acknowledged(group_of(tp.topic))).get(tp, 0)
        return (await self._world.broker.bounds([tp.topic]))[tp].begin, acknowledged

    async def _end_one(self) -> None:
        if living := self._world.living:
            self._random.choice(living).tell_to_end()

    def _a_partition(self) -> TopicPartition:
        one = self._random.choice(self._world.broker.generations)
        topic = self._random.choice([one.transactions_topic, one.blobs_topic])
        return TopicPartition(topic, self._random.randrange(one.partitions))
