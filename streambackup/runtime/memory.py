"""Memory in processes that make and drop batches without end."""

from __future__ import annotations

import contextlib
import ctypes
import gc

_COLLECT_EVERY = 50_000
"""Objects made between two looks of the garbage collector. Batches make many and no cycles."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_KEPT_BLOCK_BYTES = 8 * 1024 * 1024
_KEPT_BYTES = 32 * 1024 * 1024
"""Of what was freed, kept for the next batch. Given back to the system, as it is by default for
blocks of a batch's size, every page of it would be cleared and mapped again: a tenth of the work.
"""


def settle_for_batches() -> None:
    """Tell collector and allocator that what lives now lives on, and that batches come and go.

    Only with glibc does the allocator listen.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, 20, 50)
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _KEPT_BLOCK_BYTES)
        mallopt(_TRIM_THRESHOLD, _KEPT_BYTES)
