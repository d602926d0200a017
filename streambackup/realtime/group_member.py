"""A worker's part in its group: the consumer, and how that bears up."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence

import structlog

from streambackup.bus.port import Consumer, Consumers, Fetched, Ownership, TopicPartition
from streambackup.domain.liveness import Pulse
from streambackup.errors import (
    AccessError,
    BusError,
    NoSpaceError,
    PositionLostError,
    TopicError,
)

log = structlog.get_logger()

BUS_AWAY_PAUSE_S = 1.0


class GroupMember:
    """Takes part in *group*, which shares out the partitions of *topics*, with one consumer after
    the other; where it is None, all of them are its own. A bus that is away is waited for, and said
    so once, of the first topic.
    """

    def __init__(
        self, bus: Consumers, topics: Sequence[str], *, group: str | None, ownership: Ownership
    ) -> None:
        self._bus = bus
        self._topics = topics
        self.group = group
        self._ownership = ownership
        self._consumer: Consumer | None = None
        self._bus_away = False
        self._asked = False
        self._fetches = self._empty = 0
        self._said: Mapping[TopicPartition, int] = {}

    @property
    def joined(self) -> bool:
        """Whether it takes part, with or without a partition of its own."""
        return self._consumer is not None

    def pulse(self) -> Pulse:
        silence_s = 0.0 if self._consumer is None else self._consumer.silence_s
        return Pulse(self._asked, self._fetches, self._empty, silence_s)

    @contextlib.contextmanager
    def owner_at_work(self) -> Iterator[None]:
        """Inside, the consumer waits for the owner, not the owner for the consumer."""
        asked, self._asked = self._asked, False
        try:
            yield
        finally:
            self._asked = asked

    async def join(self) -> Consumer:
        """Raises:
        BusError: it cannot.
        """
        self._consumer = await self._bus.consumer(
            self._topics, group=self.group, ownership=self._ownership
        )
        return self._consumer

    async def join_again(self) -> Consumer:
        """Join, however often that fails."""
        while True:
            self._asked = True
            try:
                return await self.join()
            except (TopicError, AccessError):
                raise
            except BusError as away:
                await self._wait_for_bus(away)
            finally:
                self._asked = False

    async def fetch(self, *, records_max: int, wait_ms: int) -> Fetched:
        """What the consumer hands out; nothing where the bus is away.

        Raises:
            PositionLostError: as the consumer does.
        """
        assert self._consumer is not None
        self._asked = True
        try:
            fetched = await self._consumer.fetch(records_max=records_max, wait_ms=wait_ms)
        except PositionLostError:
            self._fetches += 1
            raise
        except (TopicError, AccessError):
            raise
        except BusError as away:
            await self._wait_for_bus(away)
            return {}
        finally:
            self._asked = False
        self._fetches += 1
        self._empty += not fetched
        if self._bus_away and fetched:
            self._bus_away = False
            log.info("bus_back", topic=self._topics[0])
        return fetched

    async def _wait_for_bus(self, away: BusError) -> None:
        """Whoever cannot be reached may be back soon, and nothing is lost by waiting."""
        if not self._bus_away:
            log.warning("bus_away", topic=self._topics[0], reason=away.message)
        self._bus_away = True
        await asyncio.sleep(BUS_AWAY_PAUSE_S)

    async def acknowledge(self, positions: Mapping[TopicPartition, int]) -> bool:
        """Tell the bus what is new; False where nothing is. Only displays and the bus's own
        retention wait for it, so no failure but of rights holds up anything.
        """
        assert self._consumer is not None
        if not positions or positions == self._said:
            return False
        try:
            await self._consumer.acknowledge(positions)
            self._said = positions
        except AccessError:
            raise
        except (NoSpaceError, BusError) as away:
            log.debug("not_acknowledged", group=self.group, reason=away.message)
        return True

    async def leave(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()
