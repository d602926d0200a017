"""What publishes to a simulated broker while one generation of its topics follows another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from streambackup.bus.port import Outgoing, Placed
from streambackup.events.config import Generation, newest


class Topics(Protocol):
    """What producers publish to."""

    @property
    def generations(self) -> list[Generation]:
        """Those that are not only prepared, the oldest first."""
        ...

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]: ...


class Producers:
    """Sources that follow the generations.

    One of them may be held up between its question and its batch: the batch then goes to a
    generation that is closing, and is sent again where the stream goes on.
    """

    def __init__(self, broker: Topics) -> None:
        self._broker = broker
        self._again: list[Outgoing] = []

    @property
    def now(self) -> Generation:
        """Where they publish, or did until it was closed."""
        found = newest(self._broker.generations)
        assert found is not None
        return found

    @property
    def waiting(self) -> bool:
        """Whether no generation is open."""
        return self.now.state != "open"

    @property
    def generations(self) -> list[Generation]:
        """All that there are."""
        return self._broker.generations

    @property
    def had_others(self) -> bool:
        """Whether there is a generation that is not open any more."""
        return any(one.state != "open" for one in self._broker.generations)

    def publish(self, records: Sequence[Outgoing]) -> list[Placed]:
        """Put *records* on the broker; those that were sent too late go ahead of them."""
        if self.waiting:
            return self._broker.publish(records)
        topic = self.now.transactions_topic
        again = [record._replace(topic=topic) for record in self._again]
        self._again.clear()
        return self._broker.publish([*again, *records])[len(again) :]

    def publish_late(self, records: Sequence[Outgoing], *, follows: bool) -> None:
        """Put transactions where the one that was open last was, whatever became of it; who
        *follows* sends them again.
        """
        late = next(one for one in reversed(self._broker.generations) if one.state != "open")
        self._broker.publish([record._replace(topic=late.transactions_topic) for record in records])
        if follows:
            self._again += records
