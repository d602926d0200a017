"""Publishing now and then: a producer for a few records, closed behind them."""

from __future__ import annotations

from collections.abc import Sequence

from streambackup.bus.port import Bus, Outgoing, Placed


async def publish_once(bus: Bus, records: Sequence[Outgoing]) -> list[Placed]:
    """Where *records* stand, acknowledged by the bus. Who publishes on and on keeps a producer."""
    producer = await bus.producer()
    try:
        return await producer.publish(records)
    finally:
        await producer.close()
