"""Consuming from Kafka: the partitions that our group gives us, or all where we are in none, at
positions that their owner gives.

aiokafka swallows what its callbacks raise, and sends no heartbeats while it tells what was
assigned. So the callbacks only take note; ``fetch`` asks the owner, and raises what went wrong.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import OffsetOutOfRangeError

from streambackup.bus.kafka.connection import REQUEST_LIMIT_S, KafkaSettings, start_client
from streambackup.bus.kafka.errors import kafka_errors
from streambackup.bus.kafka.reader import bounds_of, join_limit_s, stop_consumer
from streambackup.bus.port import Fetched, Ownership, Record, TopicPartition
from streambackup.errors import BusError, PositionLostError

SILENCE_S = 10.0  # aiokafka does not tell that the brokers are away: after this long we ask
LOOK_S = 0.5  # how long a fetch may not notice that partitions came or went
SETTLE_S = 0.1  # how long a fetch waits beside a rebalance, which aiokafka would wait out

_NONE: frozenset[KafkaPartition] = frozenset()


class KafkaConsumer(ConsumerRebalanceListener):
    """Wraps a consumer of its own.

    Records are handed out as aiokafka makes them, which is as the port wants them: nothing is done
    per record here.
    """

    def __init__(
        self,
        client: AIOKafkaConsumer,
        *,
        partitions: Collection[TopicPartition],
        ownership: Ownership,
    ) -> None:
        self._client = client
        self._all = [KafkaPartition(*tp) for tp in partitions]
        self._ownership = ownership
        self._given = _NONE
        """What the group gave us and the owner was not asked about yet; paused until then."""
        self._owned = _NONE
        self._paused: set[KafkaPartition] = set()
        self._silent: set[KafkaPartition] = set()
        """Where there is no position to read from."""
        self._failure: Exception | None = None
        self._rebalanced = asyncio.Event()
        self._heard_s = self._known_s = asyncio.get_running_loop().time()
        self._is_member = False

    @property
    def silence_s(self) -> float:
        if not self._is_member:
            return 0.0
        return asyncio.get_running_loop().time() - self._known_s

    async def take_all(self, settings: KafkaSettings) -> None:
        """Take every partition, as a member of no group. What the owner objects to, the next
        ``fetch`` raises.
        """
        with kafka_errors("connecting", needs="Read"):
            await start_client(self._client, settings)
        self._client.assign(self._all)
        self.on_partitions_assigned(frozenset(self._all))
        await self._take_first()

    async def join(self, settings: KafkaSettings) -> None:
        """Become a member, and take what the group gives first. What the owner objects to, the next
        ``fetch`` raises.
        """
        self._is_member = True
        self._client.subscribe(sorted({tp.topic for tp in self._all}), listener=self)
        with kafka_errors("joining the group", needs="Read"):
            async with asyncio.timeout(join_limit_s(settings)):
                await start_client(self._client, settings)
                self._note_heartbeats()
                await self._rebalanced.wait()
        await self._take_first()

    async def _take_first(self) -> None:
        try:
            await self._take_given()
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error

    def _note_heartbeats(self) -> None:
        """Have the client tell when its group heard of us last, which it keeps to itself."""
        coordinator: Any = self._client._coordinator
        beat = coordinator._do_heartbeat

        async def noted() -> bool:
            heard: bool = await beat()
            if heard:
                self._known_s = asyncio.get_running_loop().time()
            return heard

        coordinator._do_heartbeat = noted

    async def on_partitions_revoked(self, revoked: AbstractSet[KafkaPartition]) -> None:
        """All that was ours is not any more, even what the group may give us again."""
        self._rebalanced.clear()
        try:
            await self._give_back()
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error

    def on_partitions_assigned(self, assigned: AbstractSet[KafkaPartition]) -> None:
        """At once at some position and paused: aiokafka would go on from what was committed."""
        try:
            for tp in assigned:
                self._client.seek(tp, 0)
            self._client.pause(*assigned)
        except Exception as error:  # whatever it is, it reaches the caller of fetch
            self._failure = error
        self._given = frozenset(assigned)
        self._known_s = asyncio.get_running_loop().time()
        self._rebalanced.set()

    async def _give_back(self) -> None:
        owned, self._owned, self._given = self._owned, _NONE, _NONE
        self._paused.clear()
        self._silent.clear()
        if owned:
            await self._ownership.revoked(_ours(owned))

    async def _take_given(self) -> None:
        """Ask the owner where to read, unless it is all gone again when it answers."""
        given, self._given = self._given, _NONE
        if not given:
            return
        self._owned = given
        positions = await self._ownership.assigned(_ours(given))
        if self._owned is not given:
            return
        self._silent.update(given)
        for tp, offset in positions.items():
            self.seek(tp, offset)

    async def fetch(self, *, records_max: int, wait_ms: int) -> Fetched:
        deadline_s = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                await self._take_given()
            except Exception as error:
                self._failure = error
                raise
            left_s = max(0.0, deadline_s - asyncio.get_running_loop().time())
            found = await self._look(records_max, min(left_s, LOOK_S))
            if found or left_s == 0:
                return found

    async def _look(self, records_max: int, wait_s: float) -> Fetched:
        found: Any = {}
        with kafka_errors("reading", needs="Read"):
            try:
                async with asyncio.timeout(wait_s + SETTLE_S):
                    found = await self._client.getmany(
                        timeout_ms=int(wait_s * 1000), max_records=records_max
                    )
            except OffsetOutOfRangeError as error:
                raise await self._position_lost(error) from None
            except TimeoutError:
                pass  # The group is rebalancing: aiokafka hands nothing out.
            except asyncio.CancelledError:
                # A task of aiokafka's own was, and it passes that on; nobody cancelled us.
                if (task := asyncio.current_task()) is None or task.cancelling():
                    raise
                raise BusError("reading: the client's own work was cut off") from None
            await self._check_silence(heard=bool(found))
        return cast(Mapping[TopicPartition, list[Record]], found)

    async def _position_lost(self, error: OffsetOutOfRangeError) -> PositionLostError:
        ((tp, offset),) = error.args[0].items()
        self._silent.add(tp)
        self._client.pause(tp)  # aiokafka would raise it again and again
        ours = TopicPartition(*tp)
        begin, end = (await bounds_of(self._client, [ours]))[ours]
        return PositionLostError(tp.topic, tp.partition, offset, begin=begin, end=end)

    async def _check_silence(self, *, heard: bool) -> None:
        now_s = asyncio.get_running_loop().time()
        if not heard and now_s - self._heard_s > SILENCE_S:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await self._client.end_offsets(self._all)
            heard = True
        if heard:
            self._heard_s = now_s

    def seek(self, partition: TopicPartition, offset: int) -> None:
        tp = KafkaPartition(*partition)
        if tp not in self._owned:
            return
        self._client.seek(tp, offset)
        self._silent.discard(tp)
        if tp not in self._paused:
            self._client.resume(tp)

    def pause(self, partitions: Collection[TopicPartition]) -> None:
        chosen = self._still_owned(partitions)
        self._paused |= chosen
        self._client.pause(*chosen)

    def resume(self, partitions: Collection[TopicPartition]) -> None:
        chosen = self._still_owned(partitions)
        self._paused -= chosen
        self._client.resume(*(chosen - self._silent))

    def _still_owned(self, partitions: Collection[TopicPartition]) -> AbstractSet[KafkaPartition]:
        return {KafkaPartition(*tp) for tp in partitions} & self._owned

    async def acknowledge(self, next_offsets: Mapping[TopicPartition, int]) -> None:
        if not self._is_member:
            return
        with kafka_errors("acknowledging", needs="Read"):
            async with asyncio.timeout(REQUEST_LIMIT_S):
                await self._client.commit(
                    {KafkaPartition(*tp): offset for tp, offset in next_offsets.items()}
                )

    async def close(self) -> None:
        try:
            await self._give_back()
        finally:
            with kafka_errors("closing the consumer"):
                await stop_consumer(self._client)


def _ours(partitions: Collection[KafkaPartition]) -> list[TopicPartition]:
    return [TopicPartition(*tp) for tp in sorted(partitions)]
