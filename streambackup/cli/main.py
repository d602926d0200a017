"""The command line: finds the command, runs it, and turns what went wrong into one line and an exit
code.

Each command is a module of its own, imported only when it is the one asked for. docs/cli.md lists
the commands and the exit codes.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from streambackup.domain.printed import printable
from streambackup.errors import InterruptedRunError, StreamBackupError, UsageError

NOUNS = {
    "account": "Accounts that the store knows.",
    "item": "Items of an account, as they are or were.",
    "restore": "Bring items back into a Maildir or plain files.",
    "quarantine": "What could not be used and was set aside.",
    "topic": "The topics that transactions and content travel on.",
}
COMMANDS = {
    "init": "Make a store in the backup path.",
    "run": "Run the service until SIGTERM or Ctrl-C.",
    "status": "Show how far behind the store is, what it holds, and what needs attention.",
    "publish": "Publish JSON lines, each one change of an item.",
    "replay": "Fold the topics from their beginning into another backup path.",
    "topic create": "Create the topics that are missing.",
    "topic grow": "Open a new generation of the topics, with more partitions.",
    "topic describe": "Show the topics as they are.",
    "account list": "List the accounts that the store knows, deleted ones included.",
    "account show": "Show what an account is, what it holds, and why it is in doubt if it is.",
    "account history": "List every state of an account itself.",
    "item list": "Find items by folder, sender, subject, date, or when they were deleted.",
    "item show": "Show an item as it is or was.",
    "item history": "List every state that an item was ever in.",
    "item cat": "Write an item's content to standard output.",
    "restore item": "Bring one item back as it is or was.",
    "restore folder": "Bring a folder back with all below it.",
    "restore account": "Bring a whole account back.",
    "restore undelete": "Bring back what was deleted within a time.",
    "quarantine list": "List what was set aside: where it came from, when, and why.",
    "quarantine show": "Show what was set aside with its bytes.",
    "quarantine retry": "Publish again what this release can use.",
    "check": "Read every journal frame, account log and blob.",
    "fingerprint": "Print one number for everything that the store knows.",
}
"""Every command with its one-line help; ``item cat`` is ``item_cat`` in ``cli/item_cat.py``."""

BROKEN_PIPE_EXIT_CODE = 141
"""Whoever read the output went away; what a shell reports for a program ended by SIGPIPE."""
_SUGGESTION = re.compile(r"\s*(Did you mean .*\?)")


def run_command(arguments: Sequence[str], app: App | None = None) -> int:
    """Run the command of *app* that *arguments* name and return its exit code."""
    try:
        (app or build_app())(list(arguments), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_output()
        return BROKEN_PIPE_EXIT_CODE
    except CycloptsError as error:
        return _report(_usage_error(error))
    except StreamBackupError as error:
        return _report(error)
    except KeyboardInterrupt:
        return _report(InterruptedRunError("interrupted; what was done so far is consistent"))
    except Exception as error:
        if "--debug" in arguments:
            raise
        return _report(_unexpected(error))
    return 0


def build_app() -> App:
    """The tree of commands; none of them is imported yet."""
    app = App(
        name="streambackup",
        help="Continuous, checkable backup of mailboxes.",
        version=_version,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
        suppress_keyboard_interrupt=False,
        verbose=False,
    )
    nouns = {noun: App(name=noun, help=meaning) for noun, meaning in NOUNS.items()}
    for group in nouns.values():
        app.command(group)
    for words, meaning in COMMANDS.items():
        noun, _, verb = words.rpartition(" ")
        attribute = words.replace(" ", "_").replace("-", "_")
        (nouns[noun] if noun else app).command(
            f"streambackup.cli.{attribute}:{attribute}", name=verb, help=meaning
        )
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("streambackup")


def _usage_error(error: CycloptsError) -> UsageError:
    """What cyclopts found, as one of ours: the message on one line, its suggestion as the hint."""
    text = " ".join(str(error).split())
    suggestion = _SUGGESTION.search(text)
    if suggestion:
        text = text[: suggestion.start()] + text[suggestion.end() :]
    command = " ".join(["streambackup", *(error.command_chain or ())])
    hint = suggestion[1] if suggestion else f"'{command} --help' shows what it takes."
    return UsageError(text.removesuffix("."), hint=hint)


def _unexpected(error: Exception) -> StreamBackupError:
    return StreamBackupError(
        " ".join(f"unexpected {type(error).__name__}: {error}".split()),
        hint="Run it again with --debug to see where, and report it.",
    )


def _report(error: StreamBackupError) -> int:
    lines = f"streambackup: {printable(error.message)}\n"
    if error.hint:
        lines += f"  {printable(error.hint)}\n"
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(lines)
        sys.stderr.flush()
    return error.exit_code


def _silence_output() -> None:
    """Keep the interpreter from complaining about the closed pipe when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
