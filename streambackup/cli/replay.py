"""``streambackup replay``"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from streambackup.cli.common import NOTHING_SAID, Common, given_path, given_paths
from streambackup.cli.render import progress, write_document, write_json_line
from streambackup.domain.words import counted
from streambackup.errors import IncompleteError
from streambackup.runtime.clock import SystemClock
from streambackup.service.replay import ReplayReport, ReplayRequest
from streambackup.service.replay import replay as replay_topics
from streambackup.service.replay_folding import Progress, Step


def replay(
    *,
    to: Annotated[
        Path, Parameter(help="Backup path to make, or to go on with.", converter=given_path)
    ],
    as_primary: Annotated[
        bool, Parameter(help="Make the primary store itself, which is lost, instead of a replica.")
    ] = False,
    like: Annotated[
        Path | None,
        Parameter(
            help="Set up as this store, where the topics do not tell how the primary is.",
            converter=given_path,
        ),
    ] = None,
    content_from: Annotated[
        list[Path] | None,
        Parameter(
            help="Backup path to take content from that the topics do not hold any more; may be "
            "repeated.",
            converter=given_paths,
        ),
    ] = None,
    bytes_per_second: Annotated[
        int | None,
        Parameter(help="Read so many bytes a second at most.", validator=Number(gte=1)),
    ] = None,
    common: Common = NOTHING_SAID,
) -> None:
    """Fold the topics from their beginning into another backup path, and print its fingerprint.

    Publishes nothing. Interrupted, the same command goes on.
    """
    settings = common.settings()
    common.start_logs(settings)
    request = ReplayRequest(
        to=to,
        as_primary=as_primary,
        like=like,
        content_from=tuple(content_from or ()),
        bytes_per_second=bytes_per_second,
    )
    with _progress(as_json=common.json) as show:
        report = asyncio.run(replay_topics(settings, request, clock=SystemClock(), progress=show))
    if common.json:
        write_json_line(report)
    else:
        write_document(report, _lines(report), as_json=False)
    if not report.is_complete:
        missing = counted(report.blobs.missing, "content")
        raise IncompleteError(
            f"what the topics do not hold is missing: {missing}, {_lost(report)}",
            hint="--content-from PATH takes content from another backup path.",
        )


@contextlib.contextmanager
def _progress(*, as_json: bool) -> Iterator[Progress]:
    """A line for each step for programs, a bar for people."""
    with progress(quiet=as_json) as show:
        yield write_json_line if as_json else lambda step: show(_doing(step), step.done, step.total)


def _doing(step: Step) -> str:
    if not step.partitions:
        return step.doing
    ready = sum(at.read_to == at.end for at in step.partitions)
    return (
        f"{step.doing}, {ready} of {counted(len(step.partitions), 'partition')} at the end, record"
    )


def _lost(report: ReplayReport) -> str:
    generations = counted(len(report.lost_generations), "generation")
    return f"{counted(report.gaps, 'gap')} in the transactions, {generations} without topics"


def _lines(report: ReplayReport) -> Iterator[str]:
    kind = f"replica of {report.replica_of}" if report.replica_of else "the primary"
    yield f"store        {report.store}, {kind}, in {report.path}"
    yield f"accounts     {report.accounts}, {report.in_doubt} in doubt"
    yield f"quarantined  {counted(report.quarantined, 'record')}"
    yield f"missing      {_lost(report)}"
    blobs = report.blobs
    yield (
        f"content      {blobs.stored} stored, {report.content_taken} of it from elsewhere, "
        f"{blobs.pending} pending, {blobs.missing} missing"
    )
    yield f"fingerprint  {report.fingerprint}"
