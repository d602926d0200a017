"""CRC-32C, the checksum of frames, log lines and records."""

from __future__ import annotations

from collections.abc import Callable

import google_crc32c

crc32c: Callable[[bytes], int] = google_crc32c.value
crc32c_extend: Callable[[int, bytes], int] = google_crc32c.extend
