"""Whether the process that worked here before ended in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from streambackup.errors import StoreError
from streambackup.runtime.disk import Disk

RUNNING_FILE = "running"
CHECK_ADVISED = (
    "the service before this one was killed, or its disk failed or lost power: nothing that it "
    "promised should be lost, and 'streambackup check' tells"
)


@contextlib.contextmanager
def noticed_end(caches: Path, disk: Disk) -> Iterator[bool]:
    """Keep a file in *caches*, a process's own directory, for as long as the body works.

    Yields whether one was left there: by a process that was killed, or that its disk failed.

    Raises:
        StoreError: the disk fails.
    """
    file = caches / RUNNING_FILE
    was_left = file.exists()
    disk.replace(file, b"")
    try:
        yield was_left
    except StoreError:
        raise
    except BaseException:
        disk.unlink(file)
        raise
    disk.unlink(file)
