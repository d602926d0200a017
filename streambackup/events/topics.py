"""The topics of mailbox events, of content, of what accounts hold and of what was set aside.

A generation may call them otherwise on the bus; the journal's directories, the metrics and whatever
is shown keep to these names.
"""

from __future__ import annotations

TRANSACTIONS = "mailbox.transactions"
BLOBS = "mailbox.blobs"
INVENTORY = "mailbox.inventory"
QUARANTINE = "mailbox.quarantine"
