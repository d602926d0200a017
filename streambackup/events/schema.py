"""The published contract as JSON Schema: ``scripts/reference`` writes it to ``docs/``."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from streambackup.domain.item import STATE_TYPES
from streambackup.events.blob import BlobEvent
from streambackup.events.mailbox import STATE_DEPTH_MAX, MailboxEvent
from streambackup.events.notice import Notice

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REFERENCE = "#/$defs/{name}"
_STATE = {
    "description": (
        "The item's full picture after the transaction, content apart. Lists and objects are nested"
        f" at most {STATE_DEPTH_MAX} deep, this one counted; whole numbers fit into 64 bits, others"
        " are finite. Fields beyond those of the item's type are kept as they are."
    ),
    "type": "object",
}


def event_schema() -> dict[str, Any]:
    """The schema of a record's value in its JSON form."""
    roots, definitions = msgspec.json.schema_components(
        [MailboxEvent, BlobEvent, Notice, *STATE_TYPES.values()], ref_template=_REFERENCE
    )
    _describe_state(definitions["Put"])
    for name, root in zip(("MailboxEvent", "BlobEvent"), roots, strict=False):
        definitions[name] = {"anyOf": root["anyOf"]}
    return {
        "$schema": DIALECT,
        "title": "Events of streambackup",
        "description": "See events.md. The value of a record of mailbox.transactions is a"
        " MailboxEvent, that of a record of mailbox.blobs a BlobEvent, that of a record of"
        " mailbox.quarantine a Notice.",
        "anyOf": [_reference(name) for name in ("MailboxEvent", "BlobEvent", "Notice")],
        "$defs": _as_text({name: definitions[name] for name in sorted(definitions)}),
    }


def schema_text() -> str:
    """What ``docs/events.schema.json`` must hold."""
    return msgspec.json.format(msgspec.json.encode(event_schema())).decode() + "\n"


def _describe_state(put: dict[str, Any]) -> None:
    """A plain object in place of the nested type that the decoder needs, then typed by item."""
    put["properties"]["state"] = _STATE
    put["allOf"] = [
        {
            "if": {"properties": {"type": {"const": item_type}}},
            "then": {"properties": {"state": _reference(state.__name__)}},
        }
        for item_type, state in STATE_TYPES.items()
    ]


def _reference(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=name)}


def _as_text(value: Any) -> Any:
    """Descriptions that came from docstrings, on one line and in Markdown."""
    if isinstance(value, dict):
        return {
            key: _plain(inner)
            if key == "description" and isinstance(inner, str)
            else _as_text(inner)
            for key, inner in value.items()
        }
    return [_as_text(inner) for inner in value] if isinstance(value, list) else value


def _plain(docstring: str) -> str:
    return re.sub(r"\s+", " ", docstring).replace("``", "`").strip()
