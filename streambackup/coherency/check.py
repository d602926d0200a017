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


class CheckReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was read, and what was found."""

    accounts: int
    items: int
    states: int
    blobs: int
    blob_bytes: int
    pending_blobs: int
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.is_fault]

    @property
    def notes(self) -> list[Finding]:
        return [finding for finding in self.findings if not finding.is_fault]


class _Counts:
    def __init__(self) -> None:
        self.accounts = self.items = self.states = self.blobs = self.blob_bytes = self.pending = 0


def check_store(root: Path, progress: Progress = lambda _what, _count: None) -> CheckReport:
    """Check the store at *root*.

    Raises:
        NoStoreError: there is none. StoreError: it cannot be read at all.
    """
    reader = StoreReader(root)
    counts = _Counts()
    findings: list[Finding] = []
    with closing(Scratch()) as scratch:
        named = NamedBlobs(scratch)
        findings += check_journals(reader)
        findings += check_filed_lines(reader)
        findings += _check_accounts(reader, named, counts, progress)
        findings += _check_blobs(root, named, counts, progress)
        findings += check_orphans(root)
    return CheckReport(
        accounts=counts.accounts,
        items=counts.items,
        states=counts.states,
        blobs=counts.blobs,
        blob_bytes=counts.blob_bytes,
        pending_blobs=counts.pending,
        findings=tuple(dict.fromkeys(findings)),
    )


def _check_accounts(
    reader: StoreReader, named: NamedBlobs, counts: _Counts, progress: Progress
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
                    counts.pending += 1
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
    root: Path, named: NamedBlobs, counts: _Counts, progress: Progress
) -> Iterator[Finding]:
    """Read every blob and hold it against its name."""
    blobs = LooseBlobs(root)
    for digest in blobs.digests():
        holders = named.holders(digest)
        size = 0
        try:
            for piece in blobs.pieces(digest):
                size += len(piece)
        except StreamBackupError as error:
            account, item = holders[0] if holders else (None, None)
            yield Finding(
                finding=FindingClass.DAMAGED_BLOB,
                what=str(error),
                account=account,
                item=item,
                digest=digest,
                path=str(blobs.path_of(digest)),
                cure="Move the file away and publish the content again.",
            )
        if not holders:
            yield Finding(
                finding=FindingClass.UNNAMED_BLOB,
                what=f"no transaction names the blob {digest}",
                digest=digest,
                path=str(blobs.path_of(digest)),
            )
        counts.blobs += 1
        counts.blob_bytes += size
        progress("blobs", counts.blobs)
    for leftover in blobs.leftovers():
        yield Finding(
            finding=FindingClass.LEFTOVER_FILE,
            what="a store that did not finish left this file",
            path=str(leftover),
        )
