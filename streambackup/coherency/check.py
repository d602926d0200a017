"""The check: reads every journal frame, account log and blob of a backup path, and changes nothing.

Works on a live store and on any copy of one. What a crash or a running service leaves is a note;
anything else that is not as it should be is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from streambackup.blobs.loose import LooseBlobs
from streambackup.coherency.filed_lines import check_filed_lines
from streambackup.coherency.journals import check_journals
from streambackup.coherency.named_blobs import NamedBlobs
from streambackup.coherency.orphans import check_orphans
from streambackup.domain.finding import Finding, FindingClass
from streambackup.errors import StreamBackupError
from streambackup.reading.contents import Contents
from streambackup.reading.scratch import Scratch
from streambackup.reading.store_reader import StoreReader

Progress = Callable[[str, int], None]
"""Told what is being read, and how many of it were."""


class Counts(msgspec.Struct):
    """What was read. ``pending_blobs`` are contents that were still on their way."""

    accounts: int = 0
    items: int = 0
    states: int = 0
    blobs: int = 0
    blob_bytes: int = 0
    pending_blobs: int = 0


class CheckReport(Counts, kw_only=True):
    """What was read, and what was found, each finding once."""

    findings: tuple[Finding, ...]

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_fault]

    @property
    def notes(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.is_fault]


def check_store(root: Path, progress: Progress = lambda _what, _count: None) -> CheckReport:
    """Check the store at *root*.

    Raises:
        NoStoreError: there is none. StoreError: it cannot be read at all.
    """
    reader = StoreReader(root)
    counts = Counts()
    findings: list[Finding] = []
    with closing(Scratch()) as scratch:
        named = NamedBlobs(scratch)
        findings += check_journals(reader, lambda count: progress("segments", count))
        findings += check_filed_lines(reader)
        findings += _check_accounts(reader, named, counts, progress)
        findings += _check_blobs(root, named, counts, progress)
        findings += check_orphans(root)
    found = tuple(dict.fromkeys(findings))
    return CheckReport(**msgspec.structs.asdict(counts), findings=found)


def _check_accounts(
    reader: StoreReader, named: NamedBlobs, counts: Counts, progress: Progress
) -> Iterator[Finding]:
    """Fold every account; note which blobs its states name, and report those that never came."""
    contents = Contents(reader)
    for history in reader.histories():
        yield from history.findings
        for item in history.items.values():
            for state in item.states:
                counts.states += 1
                if state.digest is None:
                    continue
                standing = contents.standing(state)
                if standing == "pending":
                    counts.pending_blobs += 1
                elif standing == "missing":
                    yield _missing(history.account, item.item, state.digest)
                named.add(state.digest, history.account, item.item)
        counts.items += len(history.items)
        counts.accounts += 1
        progress("accounts", counts.accounts)


def _missing(account: str, item: str, digest: str) -> Finding:
    return Finding(
        finding=FindingClass.MISSING_BLOB,
        what=f"the content {digest} of item {item} is not in the store",
        account=account,
        item=item,
        digest=digest,
        cure="Publish the content again, or copy the blob from another copy of the store.",
    )


def _check_blobs(
    root: Path, named: NamedBlobs, counts: Counts, progress: Progress
) -> Iterator[Finding]:
    """Read every blob and hold it against its name."""
    blobs = LooseBlobs(root)
    for digest in blobs.digests():
        holders = named.holders(digest)
        path = str(blobs.path_of(digest))
        try:
            counts.blob_bytes += sum(len(piece) for piece in blobs.pieces(digest))
        except StreamBackupError as error:
            yield _damaged(error, digest, path, *(holders[0] if holders else (None, None)))
        if not holders:
            yield Finding(
                finding=FindingClass.UNNAMED_BLOB,
                what=f"no transaction names the blob {digest}",
                digest=digest,
                path=path,
            )
        counts.blobs += 1
        progress("blobs", counts.blobs)
    for leftover in blobs.leftovers():
        yield Finding(
            finding=FindingClass.LEFTOVER_FILE,
            what="a store that did not finish left this file",
            path=str(leftover),
        )


def _damaged(
    error: StreamBackupError, digest: str, path: str, account: str | None, item: str | None
) -> Finding:
    return Finding(
        finding=FindingClass.DAMAGED_BLOB,
        what=str(error),
        account=account,
        item=item,
        digest=digest,
        path=path,
        cure="Move the file away and publish the content again.",
    )
