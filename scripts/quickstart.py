"""What scripts/quickstart shows: a service on a mailbox, what it records, and a deleted mail coming
back.

Everything it makes lies below a temporary directory and is gone afterwards.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.corpus.mailbox_writer import Writer

SAMPLE_ACCOUNT = "sample@example.org"
STREAMBACKUP = [str(Path(sys.executable).parent / "streambackup")]
WAIT_S = 60.0
STEPS_SHOWN = 8
SAMPLE_STEPS = 40
LINES_SHOWN = 12


class GaveUpError(Exception):
    """Something that should have happened did not, in time."""


class Demo:
    """One backup path, its service, and the mailbox it watches as *account*'s."""

    def __init__(self, place: Path, maildir: Path, account: str) -> None:
        self.place = place
        self.maildir = maildir
        self.account = account
        self.config = place / "streambackup.toml"
        self._process: subprocess.Popen[bytes] | None = None
        self._shown: dict[str, tuple[object, ...]] = {}
        self.config.write_text(
            f"[store]\npath = {json.dumps(str(place / 'store'))}\n"
            '[http]\nlisten = "0"\n[log]\nlevel = "warning"\n'
            f"[[sources.maildir]]\npath = {json.dumps(str(maildir))}\n"
            f"account = {json.dumps(account)}\n"
        )

    def ask(self, *words: str, may_fail: bool = False) -> str:
        """What ``streambackup`` prints; its exit code has to be 0."""
        command = [*STREAMBACKUP, *words, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and not may_fail:
            raise GaveUpError(f"streambackup {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def wait_until(self, what: str, happened: Callable[[], bool]) -> None:
        limit = time.monotonic() + WAIT_S
        while not happened():
            if self._process is None or self._process.poll() is not None:
                raise GaveUpError("the service ended")
            if time.monotonic() > limit:
                raise GaveUpError(f"{what} did not happen within {WAIT_S:.0f} s")
            time.sleep(0.1)

    def items(self, *words: str) -> list[dict[str, object]]:
        text = self.ask("item", "list", self.account, "--json", *words, may_fail=True)
        found: list[dict[str, object]] = json.loads(text) if text else []
        return found

    @contextlib.contextmanager
    def service(self) -> Iterator[None]:
        """``streambackup run`` beside the body; stopped the way an operator would."""
        command = [*STREAMBACKUP, "run", "--config", str(self.config)]
        with subprocess.Popen(command) as process:
            try:
                self._process = process
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(WAIT_S)

    def show_recorded(self) -> None:
        """Print what was recorded since the last call."""
        fresh = []
        for item in self.items("--deleted"):
            seen = (item["changed_ms"], item["deleted_ms"], item["folder"])
            if self._shown.get(str(item["item"])) != seen:
                self._shown[str(item["item"])] = seen
                fresh.append(item)
        for item in fresh[:LINES_SHOWN]:
            say(f"    recorded: {describe(item)}")
        if len(fresh) > LINES_SHOWN:
            say(f"    recorded: ... and {len(fresh) - LINES_SHOWN} more")

    def caught_up(self) -> bool:
        status = json.loads(self.ask("status", "--json"))
        return bool(status["lag"] == 0 and status["accounts"] + status["blobs"] > 0)


def describe(item: dict[str, object]) -> str:
    """One line for what an item is now."""
    folder = item["folder"]
    if item["deleted_ms"]:
        became = f" was deleted from {folder}" if folder else " was deleted"
    else:
        became = f" is in {folder}" if folder else ""
    return f"{item['type']} {str(item['name'])[:60]!r}{became}"


def say(text: str = "") -> None:
    print(text, flush=True)


def run_sample(place: Path) -> None:
    """A mailbox that somebody uses; at the end a mail is deleted in it and brought back."""
    maildir = place / "Maildir"
    writer = Writer(maildir, seed=int(time.time()))
    for _ in range(SAMPLE_STEPS):
        writer.step()
    demo = Demo(place, maildir, SAMPLE_ACCOUNT)
    say(f"A sample mailbox is in {maildir}. Making a store beside it and starting the service.")
    demo.ask("init")
    with demo.service():
        demo.wait_until("the first listing", lambda: bool(demo.items()) and demo.caught_up())
        say("\nWhat it held already:")
        demo.show_recorded()
        say("\nNow somebody uses it, and the backup follows:")
        for _ in range(STEPS_SHOWN):
            say(f"  {writer.step()}")
            time.sleep(0.4)
            demo.show_recorded()
        delete_and_bring_back(demo)
        finish(demo)


def delete_and_bring_back(demo: Demo) -> None:
    """Delete the file of a recorded mail for good, restore it into the same mailbox, compare."""
    recorded = demo.items("--type", "message")
    files = {digest_of(f): f for name in ("cur", "new") for f in demo.maildir.glob(f"**/{name}/*")}
    chosen = next(item for item in recorded if item["digest"] in files)
    file = files[str(chosen["digest"])]
    content = file.read_bytes()
    say(f"\nDeleting {str(chosen['name'])!r} for good: rm {file.name}")
    file.unlink()
    item = str(chosen["item"])
    demo.wait_until(
        "the deletion's record", lambda: not any(i["item"] == item for i in demo.items())
    )
    demo.show_recorded()
    say("Bringing it back, as it was before it was deleted:")
    command = ("restore", "undelete", demo.account, "--since", "1h ago", "--to", str(demo.maildir))
    say(f"  streambackup {shlex.join(command)}")
    say(indent(demo.ask(*command)))
    back = [f for f in demo.maildir.glob("**/cur/*") if f.read_bytes() == content]
    if not back:
        raise GaveUpError("the restored mail is not in the mailbox")
    say(f"It is there again, byte for byte: {back[0].name}")
    demo.wait_until(
        "its record", lambda: sum(i["digest"] == chosen["digest"] for i in demo.items()) > 0
    )
    demo.show_recorded()


def run_own(place: Path, maildir: Path, account: str) -> None:
    """The given mailbox: read, never written; one message is restored elsewhere and compared."""
    demo = Demo(place, maildir, account)
    say(f"Backing up {maildir} as {account}'s into {place / 'store'}.")
    say("Nothing is written into the mailbox.")
    demo.ask("init")
    with demo.service():
        demo.wait_until("the first listing", lambda: bool(demo.items()) and demo.caught_up())
        demo.show_recorded()
        messages = demo.items("--type", "message")
        if not messages:
            say("There is no message in it.")
            return
        chosen = messages[-1]
        target = place / "restored"
        say(f"\nRestoring {str(chosen['name'])!r} into {target}:")
        say(indent(demo.ask("restore", "item", account, str(chosen["item"]), "--to", str(target))))
        same = [f for f in target.rglob("*.eml") if digest_of(f) == chosen["digest"]]
        if not same:
            raise GaveUpError("the restored message is not what the mailbox holds")
        say("It is byte for byte what the mailbox holds.")
        finish(demo)


def finish(demo: Demo) -> None:
    """Check the store, and say what to try next."""
    say("\nReading every journal frame, account log and blob:")
    say(indent(demo.ask("check")))
    say(indent(demo.ask("status")))
    say("\nTo try next: put [store] and [[sources.maildir]] into a streambackup.toml, then")
    say("  . .venv/bin/activate")
    say("  streambackup init && streambackup run")
    say("  streambackup item list ACCOUNT --deleted; streambackup item history ACCOUNT ITEM")
    say("The README goes on from here.")


def digest_of(file: Path) -> str:
    """A content's name, as the store writes it."""
    raw = hashlib.sha256(file.read_bytes()).digest()
    return base64.b64encode(raw).decode().replace("/", ",")


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.rstrip().splitlines())


def owner_of(maildir: Path) -> str:
    """A name for the account: who owns the mailbox, on this machine."""
    try:
        user = maildir.owner()
    except KeyError:
        user = str(maildir.stat().st_uid)
    return f"{user}@{socket.gethostname()}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/quickstart",
        description="See a backup at work: on a sample mailbox, or read-only on your own Maildir.",
    )
    parser.add_argument("maildir", metavar="MAILDIR", nargs="?", type=Path, help="your own Maildir")
    parser.add_argument("--account", help="what to call its account; its owner unless said")
    given = parser.parse_args()
    if given.maildir is None and given.account is not None:
        parser.error("--account is for a MAILDIR of your own")
    if given.maildir is not None and not (given.maildir / "cur").is_dir():
        parser.error(f"{given.maildir} is no Maildir: it has no directory cur")
    return given


def main() -> int:
    given = arguments()
    os.environ.pop("STREAMBACKUP_CONFIG", None)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(prefix="streambackup-quickstart-") as place:
            if given.maildir is None:
                run_sample(Path(place))
            else:
                maildir = given.maildir.resolve()
                run_own(Path(place), maildir, given.account or owner_of(maildir))
    except GaveUpError as error:
        say(f"quickstart: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
