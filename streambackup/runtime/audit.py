"""Who read or restored what, and when: an append-only log beside the store.

One JSON line before anything is shown or written (``outcome`` "begun") and one with the same ``id``
afterwards; a command that left only the first was killed. Commands that show no content and restore
nothing leave no line.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from streambackup.domain.instant import format_instant
from streambackup.errors import NoSpaceError, StoreError, StreamBackupError
from streambackup.runtime.clock import Clock
from streambackup.runtime.disk import Disk
from streambackup.runtime.redaction import without_secrets

ITEMS_NAMED_MAX = 1000
"""Of more items than this only the number is written; a restore's own report names them all."""


class Who(msgspec.Struct, frozen=True, omit_defaults=True):
    """The user of a process; ``sudo_user`` is who became that user by sudo."""

    uid: int
    login: str
    sudo_user: str | None = None


class Concerned(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a command touches, as far as it is known."""

    accounts: Sequence[str] = ()
    items: Sequence[str] = ()


class AuditLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the log. ``when`` is ISO 8601 in UTC."""

    id: str
    when: str
    who: Who
    command: str
    arguments: dict[str, object]
    outcome: str
    accounts: list[str] = []
    items: list[str] = []
    items_count: int = 0


class Audited:
    """Lets the command in progress say what it came to. Unset, the outcome is "done"."""

    def __init__(self, concerned: Concerned) -> None:
        self.outcome = "done"
        self.concerned = concerned


class AuditLog:
    """Appends to *path*. Lines of several processes may alternate, never mix."""

    def __init__(self, path: Path, *, disk: Disk, clock: Clock, who: Who) -> None:
        self._path = path
        self._disk = disk
        self._clock = clock
        self._who = who

    @contextlib.contextmanager
    def recorded(
        self, command: str, arguments: Mapping[str, object], concerned: Concerned
    ) -> Iterator[Audited]:
        """Run the body as *command*; its first line is durable before the body begins.

        Raises:
            StoreError: the log cannot be written; its message tells whether the body has begun.
            NoSpaceError: for want of space.
        """
        line = AuditLine(
            id=secrets.token_hex(8),
            when="",
            who=self._who,
            command=command,
            arguments={
                key: _as_text(without_secrets(key, value)) for key, value in arguments.items()
            },
            outcome="begun",
        )
        audited = Audited(concerned)
        self._append(line, audited.concerned, so="nothing is shown")
        try:
            yield audited
        except BaseException as error:
            self._append_end(line, _failure(error), audited.concerned)
            raise
        self._append_end(line, audited.outcome, audited.concerned)

    def _append_end(self, line: AuditLine, outcome: str, concerned: Concerned) -> None:
        ended = msgspec.structs.replace(line, outcome=outcome)
        self._append(ended, concerned, so="it does not say how this ended")

    def _append(self, line: AuditLine, concerned: Concerned, *, so: str) -> None:
        complete = msgspec.structs.replace(
            line,
            when=format_instant(self._clock.now_ms()),
            accounts=list(concerned.accounts),
            items=list(concerned.items[:ITEMS_NAMED_MAX]),
            items_count=len(concerned.items),
        )
        try:
            is_new = not self._path.exists()
            file = self._disk.append(self._path)
            try:
                file.write(msgspec.json.encode(complete, enc_hook=str) + b"\n")
                file.sync()
            finally:
                file.close()
            if is_new:
                self._disk.sync_directory(self._path.parent)
        except NoSpaceError as error:
            raise NoSpaceError(
                f"{error.message}, the audit log, so {so}",
                hint="Free some space, or set store.audit_path to a file on another disk.",
            ) from error
        except (StoreError, FileNotFoundError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            raise StoreError(
                f"the audit log {self._path} cannot be written, so {so}: {reason}",
                hint="Set store.audit_path to a file that can be, for a copy that is read-only.",
            ) from error


def current_user() -> Who:
    """The user whom this process runs for."""
    uid = os.getuid()
    try:
        login = pwd.getpwuid(uid).pw_name
    except KeyError:
        login = str(uid)
    return Who(uid, login, os.environ.get("SUDO_USER"))


def _as_text(value: object) -> object:
    """*value* as JSON can hold it; bytes of a command line that are no UTF-8 are written out."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_as_text(inner) for inner in value]
    return str(value).encode("utf-8", "backslashreplace").decode()


def _failure(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, StreamBackupError):
        return f"failed: {error.message}"
    return f"failed: {type(error).__name__}"
