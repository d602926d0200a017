"""``python -m tests.corpus ROOT``: write a corpus of Maildirs and print its statistics as JSON."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.corpus.maildirs import BENCH, Shape, write_maildirs


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0, or 2 with one line on stderr where the corpus cannot be written as asked."""
    options = _parser().parse_args(arguments)
    try:
        shape = Shape(
            accounts=options.accounts,
            mails=options.mails,
            copies=_scaled_copies(options.mails) if options.copies is None else options.copies,
            folders=options.folders,
            median_bytes=options.median_bytes,
            mean_bytes=options.mean_bytes,
        )
        statistics = write_maildirs(options.root, shape, options.seed)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(json.dumps(statistics.as_dict()) + "\n")
    return 0


def _scaled_copies(mails: int) -> int:
    """As large a share of copies as the bench corpus has."""
    return mails * BENCH.copies // BENCH.mails


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus", description=__doc__)
    parser.add_argument("root", type=Path, metavar="ROOT", help="an empty or new directory")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accounts", type=int, default=BENCH.accounts)
    parser.add_argument("--mails", type=int, default=BENCH.mails, help="copies included")
    parser.add_argument("--copies", type=int, help="default: 30 in 100 mails")
    parser.add_argument(
        "--folders", type=int, default=BENCH.folders, help="at most so many beside INBOX"
    )
    parser.add_argument("--median-bytes", type=int, default=BENCH.median_bytes)
    parser.add_argument("--mean-bytes", type=int, default=BENCH.mean_bytes)
    return parser


if __name__ == "__main__":
    sys.exit(main())
