"""Which fields of a state survive where only an item's content is kept."""

from __future__ import annotations

from collections.abc import Collection

from streambackup.domain.entry import ItemType
from streambackup.targets.port import RestoredItem

_TOLD_BY_CONTENT = {
    ItemType.MESSAGE: frozenset({"sent_ms", "sender", "recipients", "subject", "message_id"}),
    ItemType.CONTACT: frozenset({"name", "emails"}),
    ItemType.CONTACT_GROUP: frozenset({"name", "members"}),
    ItemType.APPOINTMENT: frozenset({"uid", "summary", "start_ms", "end_ms"}),
}


def left_out(item: RestoredItem, kept: Collection[str]) -> tuple[str, ...]:
    """The fields that *item* has and that neither its content nor its folder tells,
    *kept* ones apart.
    """
    told = _TOLD_BY_CONTENT.get(item.type, frozenset()) | {"folder", *kept}
    return tuple(
        field
        for field, value in item.raw_state.items()
        if field not in told and value not in (None, "", [], {})
    )
