"""A TCP proxy between a worker and a broker, whose connections can be cut or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

PIECE_BYTES = 64 * 1024


class Link:
    """Listens on ``port`` of this machine and carries bytes to and from *target*, a port too."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._carries = asyncio.Event()
        self._carries.set()
        self._is_cut = False
        self._writers = set[asyncio.StreamWriter]()
        self._serving = set[asyncio.Task[None]]()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Link]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            if self._serving:
                await asyncio.wait(self._serving)

    def cut(self) -> None:
        """End every connection, and each new one at once."""
        self._is_cut = True
        self._carries.set()
        for writer in self._writers:
            writer.transport.abort()

    def silence(self) -> None:
        """Keep connections open, new ones too, and carry nothing."""
        self._carries.clear()

    def mend(self) -> None:
        """Carry on; what was sent meanwhile arrives."""
        self._is_cut = False
        self._carries.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        with contextlib.ExitStack() as closing:
            self._keep(writer, closing)
            if self._is_cut:
                return
            try:
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
            except OSError:  # The broker is not there: neither is the connection.
                return
            self._keep(far_writer, closing)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._carry(reader, far_writer))
                both.create_task(self._carry(far_reader, writer))

    def _keep(self, writer: asyncio.StreamWriter, closing: contextlib.ExitStack) -> None:
        self._writers.add(writer)
        closing.callback(self._writers.discard, writer)
        closing.callback(writer.transport.abort)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Until either side ends; then the other does."""
        with contextlib.suppress(OSError):
            while piece := await reader.read(PIECE_BYTES):
                await self._carries.wait()
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()
