"""``streambackup check``"""

from __future__ import annotations

from collections.abc import Iterator

from streambackup.cli.common import NOTHING_SAID, Common
from streambackup.cli.render import progress, write_document
from streambackup.coherency.check import CheckReport, check_store
from streambackup.domain.words import counted
from streambackup.errors import FaultsFoundError


def check(*, common: Common = NOTHING_SAID) -> None:
    """Read every journal frame, account log and blob. What is wrong is reported, not changed."""
    root = common.settings().store.path
    with progress(quiet=common.json) as show:
        report = check_store(root, lambda what, count: show(f"reading {what}", count, None))
    write_document(report, _lines(report), as_json=common.json)
    faults = report.faults
    if faults:
        raise FaultsFoundError(
            f"{counted(len(faults), 'fault')}, the first: {faults[0].what}",
            hint=faults[0].cure or "Nothing was changed; the findings name files and items.",
        )


def _lines(report: CheckReport) -> Iterator[str]:
    for finding in report.findings:
        kind = "fault" if finding.is_fault else "note "
        concerned = " ".join(
            f"{name} {value}"
            for name, value in (("account", finding.account), ("item", finding.item))
            if value is not None
        )
        yield f"{kind} {finding.finding}: {finding.what} {concerned}".rstrip()
        if finding.path:
            yield f"      {finding.path}"
        if finding.cure:
            yield f"      {finding.cure}"
    read = (
        counted(report.accounts, "account"),
        counted(report.items, "item"),
        counted(report.states, "state"),
        f"{counted(report.blobs, 'blob')} of {counted(report.blob_bytes, 'byte')} read",
    )
    yield f"{', '.join(read)}; {counted(report.pending_blobs, 'content')} on the way"
    yield f"{counted(len(report.faults), 'fault')}, {counted(len(report.notes), 'note')}"
