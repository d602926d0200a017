"""The bus of one host, for laptops and single servers: SQLite, nothing to install.

Written as a log that several processes share: publishing is a transaction synced to disk, reading
takes no lock, and the one consuming process per group is held to by a file lock.
"""

from streambackup.bus.embedded.bus import EmbeddedBus
from streambackup.bus.embedded.retention import Limits

__all__ = ["EmbeddedBus", "Limits"]
