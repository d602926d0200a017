"""What the commands that restore have in common: their options, the plan, the run, the report."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from streambackup.cli.as_of import AsOfOptions
from streambackup.cli.common import Common, given_path
from streambackup.cli.render import note, progress, write_document
from streambackup.domain.words import counted
from streambackup.errors import InDoubtError, StreamBackupError
from streambackup.restore.plan import RestorePlan
from streambackup.restore.report import RestoreReport, Unrestored
from streambackup.restore.run import RestoreRun
from streambackup.restore.select import AsOf, Scope
from streambackup.runtime.audit import Audited, Concerned
from streambackup.runtime.clock import SystemClock
from streambackup.runtime.disk import Disk
from streambackup.runtime.interrupts import stop_between_steps
from streambackup.service.lookup import open_audit_log
from streambackup.service.restoring import (
    AllContents,
    Form,
    PreparedRestore,
    RestoreRequest,
    prepare_restore,
)
from streambackup.service.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True)
class RestoreOptions:
    """Where to, and how carefully."""

    to: Annotated[
        Path | None,
        Parameter(
            help="Directory to restore into; the account's watched Maildir unless said.",
            converter=given_path,
        ),
    ] = None
    form: Annotated[
        Form | None,
        Parameter(help="Lay it out as a Maildir or as plain files; as what stands there if empty."),
    ] = None
    into: Annotated[
        str | None, Parameter(help="Restore into this account instead of the same one.")
    ] = None
    verify: Annotated[
        bool, Parameter(help="Read everything back, and compare it with what was recorded.")
    ] = False
    dry_run: Annotated[bool, Parameter(help="Show what would be done, and do nothing.")] = False

    def arguments(self) -> dict[str, object]:
        """What was given, for the audit log."""
        return {name: value for name, value in vars(self).items() if value}


INTO_THE_SAME = RestoreOptions()


class PlannedLine(msgspec.Struct, frozen=True):
    """One item of a plan, as it is shown."""

    item: str
    type: str
    folder: str
    transaction: str
    digest: str | None
    size: int


class ShownPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A plan, as it is shown; ``complete`` says whether all of it can be restored."""

    account: str
    as_of: str
    into: str
    place: str
    items: list[PlannedLine]
    unrestorable: tuple[Unrestored, ...]
    warnings: tuple[str, ...]


def past(as_of: AsOfOptions) -> AsOf:
    """The past that the options name. Raises UsageError."""
    return AsOf(as_of.instant_ms(), as_of.transaction_id())


def restore(
    command: str,
    scope: Scope,
    as_of: AsOf,
    *,
    account: str,
    given: Mapping[str, object],
    options: RestoreOptions,
    common: Common,
) -> None:
    """Plan, and unless it is a dry run carry out, what *command* asks for.

    Raises:
        IncompleteError: something selected is not there afterwards. InDoubtError: all is there, but
        the stream alone cannot say that it is all.
    """
    settings = common.settings()
    request = RestoreRequest(
        account=account,
        scope=scope,
        as_of=as_of,
        to=options.to,
        form=options.form,
        into=options.into,
    )
    prepared = prepare_restore(settings, request)
    plan = prepared.plan
    concerned = Concerned([plan.account], [item.item for item in plan.items])
    audit = open_audit_log(settings.store, disk=Disk(), clock=SystemClock())
    arguments = {**given, **options.arguments(), "into": plan.into, "place": plan.place}
    with audit.recorded(command, arguments, concerned) as audited:
        for warning in plan.warnings:
            note(warning)
        if options.dry_run:
            audited.outcome = "shown"
            write_document(_shown_plan(plan), _plan_lines(plan), as_json=common.json)
        else:
            _run(settings, prepared, options, common, audited)


def _run(
    settings: Settings,
    prepared: PreparedRestore,
    options: RestoreOptions,
    common: Common,
    audited: Audited,
) -> None:
    with (
        progress(quiet=common.json) as show,
        stop_between_steps() as stop,
        contextlib.closing(AllContents(settings, prepared.reader, SystemClock())) as contents,
    ):
        run = RestoreRun(
            prepared.plan,
            prepared.history,
            contents=contents,
            target=prepared.target,
            id_map=prepared.id_map,
            verify=options.verify,
            stop=stop,
            progress=lambda at: show("restoring", at.done, at.selected),
        )
        failure = _failure_of(run)
    report = run.report()
    audited.outcome = _outcome(report)
    write_document(report.as_document(), _report_lines(report), as_json=common.json)
    if failure is not None:
        raise failure
    report.raise_if_incomplete()
    if report.doubts:
        first = min(report.doubts)
        raise InDoubtError(
            f"all that is known is there, but the account is in doubt: {first.reason}",
            hint=f"'streambackup account show {report.account}' gives every reason.",
        )


def _failure_of(run: RestoreRun) -> StreamBackupError | None:
    """Run it; what ended it early is raised only when the report has been given."""
    try:
        run.run()
    except StreamBackupError as error:
        return error
    return None


def _outcome(report: RestoreReport) -> str:
    return (
        f"restored {report.restored}, skipped {report.skipped}, "
        f"unrestored {len(report.unrestored)}, remaining {report.remaining}"
    )


def _shown_plan(plan: RestorePlan) -> ShownPlan:
    return ShownPlan(
        account=plan.account,
        as_of=plan.as_of,
        into=plan.into,
        place=plan.place,
        items=[
            PlannedLine(i.item, i.type, str(i.folder), i.transaction, i.digest, i.size)
            for i in plan.items
        ],
        unrestorable=plan.unrestorable,
        warnings=plan.warnings,
    )


def _plan_lines(plan: RestorePlan) -> Iterator[str]:
    yield f"would restore {counted(len(plan.items), 'item')} of {plan.account}, {plan.as_of},"
    yield f"into account {plan.into} at {plan.place}:"
    for item in plan.items:
        yield f"  {item.type} {item.item} in {item.folder or '/'}, {counted(item.size, 'byte')}"
    yield from _unrestored_lines(plan.unrestorable)


def _report_lines(report: RestoreReport) -> Iterator[str]:
    size = counted(report.restored_bytes, "byte")
    yield f"restored    {counted(report.restored, 'item')}, {size}, to {report.place}"
    yield f"skipped     {report.skipped} that were restored before"
    yield f"unrestored  {len(report.unrestored)}"
    yield from _unrestored_lines(report.unrestored)
    if report.remaining:
        yield f"remaining   {report.remaining}"
    if report.verified:
        yield f"verified    {report.verified} read back and equal"
    for field, count in sorted(report.left_out.items()):
        yield f"left out    {field} of {counted(count, 'item')}: the place cannot keep it"
    for doubt in report.doubts:
        yield f"in doubt    {doubt.reason}"


def _unrestored_lines(unrestored: tuple[Unrestored, ...]) -> Iterator[str]:
    for item in unrestored:
        yield f"  {item.failure}: {item.type} {item.item}: {item.reason}"
        if item.salvage:
            yield f"    an earlier state is good: --transaction {item.salvage}"
