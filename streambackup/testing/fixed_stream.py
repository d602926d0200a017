"""A stream of one generation, which never ends."""

from __future__ import annotations

from streambackup.outbox.content import Topics


class FixedStream:
    """Whoever publishes goes on in *topics* for ever."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    async def topics(self) -> Topics:
        return self._topics

    async def is_at(self, topics: Topics) -> bool:
        return topics == self._topics
