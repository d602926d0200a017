"""The topics of mailbox events, of content, of what accounts hold and of what was set aside.

Later generations call them otherwise on the bus; the journal's directories keep to these names.
"""

from __future__ import annotations

TOPIC_PREFIX = "mailbox."
TRANSACTIONS = "mailbox.transactions"
BLOBS = "mailbox.blobs"
INVENTORY = "mailbox.inventory"
QUARANTINE = "mailbox.quarantine"


def topic_in(topic: str, number: int) -> str:
    """What generation *number* calls *topic* on the bus."""
    return topic if number == 1 else f"{topic}.g{number}"
