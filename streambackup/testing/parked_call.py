"""A blocking call that can be stopped between two of its steps, in a thread that takes turns with
whoever runs it: never do both run.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

_current = threading.local()


class ParkedCall:
    """A call that has not begun."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._turn = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._done = False
        self._result: Any = None
        self._error: BaseException | None = None

    def go_on(self) -> bool:
        """Let it run until it ends, or parks again; True where it has ended."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self._turn.release()
        self._back.acquire()
        if self._done:
            self._thread.join()
        return self._done

    def _run(self) -> None:
        _current.call = self
        try:
            self._result = self._call()
        except BaseException as error:
            self._error = error
        self._done = True
        self._back.release()

    @staticmethod
    def park() -> None:
        """In the call's thread: go back to whoever runs it. Elsewhere it does nothing."""
        call: ParkedCall | None = getattr(_current, "call", None)
        if call is not None:
            call._back.release()
            call._turn.acquire()

    def outcome(self) -> Any:
        """What the call returned, or raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def tell(self, future: asyncio.Future[Any]) -> None:
        """Hand the outcome to *future*."""
        if self._error is None:
            future.set_result(self._result)
        else:
            future.set_exception(self._error)
