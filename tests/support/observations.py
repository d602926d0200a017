"""Observations as a source makes them, for tests of the outbox."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streambackup.domain.digest import digest_of
from streambackup.domain.entry import ItemType
from streambackup.outbox.outbox import Outbox
from streambackup.sources.port import Content, Observation

OpenOutbox = Callable[..., Outbox]


def message(tmp_path: Path, data: bytes = b"hello", **changed: object) -> Observation:
    path = tmp_path / digest_of(data)
    path.write_bytes(data)
    fields: dict[str, object] = {
        "account": "ann",
        "time_ms": 1_000,
        "operation": "put",
        "item": "f1/m1",
        "type": ItemType.MESSAGE,
        "state": {"folder": "f1", "flags": []},
        "content": Content(digest_of(data), len(data), path),
        "remember": {"m/f1/m1": b"there"},
    }
    return Observation(**(fields | changed))  # type: ignore[arg-type]
