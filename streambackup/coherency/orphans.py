"""Checking for orphans: metadata that nothing in the store accounts for any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from streambackup.domain.finding import Finding, FindingClass
from streambackup.journal.life import LIFE_FILE, lost_lives
from streambackup.metadata.account_log import (
    ACCOUNT_FILE,
    account_directories,
    account_of,
    is_hashed,
    log_files,
    written_id,
)

_EPOCH_CHARACTERS = len("0000000001-0123456789abcdef")


def check_orphans(root: Path) -> Iterator[Finding]:
    """Report generations, account directories and account logs that lack what explains them."""
    yield from map(_lost_life, lost_lives(root))
    known = {file.name[:_EPOCH_CHARACTERS] for file in (root / "journal").glob("*/*/*/*")}
    for directory in account_directories(root):
        logs = log_files(directory)
        account = account_of(root, directory)
        if account is None:
            if logs:  # What a crash leaves of a new directory has none.
                yield _nobodys(directory)
            continue
        if is_hashed(directory) and logs and written_id(directory) != account:
            yield _unnamed(directory, account)
        for epoch, file in logs:
            if str(epoch) not in known:
                yield _of_no_epoch(str(epoch), file, account)


def _lost_life(directory: Path) -> Finding:
    return Finding(
        finding=FindingClass.ORPHANED_METADATA,
        what=f"generation {directory.name} is not read: it has no {LIFE_FILE}",
        path=str(directory),
        cure="Copy the file from another copy of the store, or write it again by hand.",
    )


def _nobodys(directory: Path) -> Finding:
    return Finding(
        finding=FindingClass.ORPHANED_METADATA,
        what="no account has its logs in this directory, and nothing in it tells whose they are",
        path=str(directory),
        cure="Was it renamed or copied? Move it to where it was, or away.",
    )


def _unnamed(directory: Path, account: str) -> Finding:
    return Finding(
        finding=FindingClass.ORPHANED_METADATA,
        what="the file that names this directory's account is missing or damaged",
        account=account,
        path=str(directory / ACCOUNT_FILE),
        cure="Write the account's id into it, with nothing behind.",
    )


def _of_no_epoch(epoch: str, file: Path, account: str) -> Finding:
    return Finding(
        finding=FindingClass.ORPHANED_METADATA,
        what=f"no journal or mark knows the epoch {epoch} that wrote this account log",
        account=account,
        path=str(file),
        cure="Was it copied from another store? Move it away.",
    )
