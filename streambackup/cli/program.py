"""The ``streambackup`` program. Ctrl-C ends it quietly from its first moment on, which is before
all that it needs is imported.
"""

import os
import signal
import sys
from typing import NoReturn


def main() -> None:
    """Run the command that the command line names, and end with its exit code."""
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # As behind nohup or '&'.
    if not is_ignored:
        signal.signal(signal.SIGINT, _end_at_once)

    from streambackup.cli.main import run_command

    try:
        if not is_ignored:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run_command(sys.argv[1:])
    except KeyboardInterrupt:  # Before or after the command, which tells of it itself.
        _end_at_once()
    sys.exit(code)


def _end_at_once(*_: object) -> NoReturn:
    os.write(2, b"streambackup: interrupted; what was done so far is consistent\n")
    os._exit(130)
