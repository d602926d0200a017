"""The Maildir source keeps the contract."""

from __future__ import annotations

import mailbox
import os
from pathlib import Path

import pytest

from streambackup.domain.mail_flags import MAILDIR_LETTERS
from streambackup.domain.modified_utf7 import encode_modified_utf7
from streambackup.runtime.clock import SystemClock
from streambackup.sources.maildir.source import MaildirSource, MaildirTree
from tests.contract.source_contract import INBOX, SourceContract, SourceRig


class MaildirRig(SourceRig):
    account = "ann"

    def __init__(self, root: Path) -> None:
        self.root = root
        mailbox.Maildir(root)

    def source(self) -> MaildirSource:
        return MaildirSource([MaildirTree(self.root, self.account)], clock=SystemClock())

    def directory(self, folder: tuple[str, ...]) -> Path:
        names = "".join(f".{encode_modified_utf7(name)}" for name in folder)
        return self.root if folder == INBOX else self.root / names

    def deliver(self, folder: tuple[str, ...], content: bytes) -> str:
        return mailbox.Maildir(self.directory(folder), create=False).add(content)

    def flag(self, message: str, flags: set[str]) -> None:
        path = self._file(message)
        letters = "".join(sorted(MAILDIR_LETTERS[flag] for flag in flags))
        path.rename(path.parent.parent / "cur" / f"{message}:2,{letters}")

    def move(self, message: str, folder: tuple[str, ...]) -> None:
        path = self._file(message)
        path.rename(self.directory(folder) / path.parent.name / path.name)

    def delete(self, message: str) -> None:
        self._file(message).unlink()

    def make_folder(self, folder: tuple[str, ...]) -> None:
        mailbox.Maildir(self.root, create=False).add_folder(self.directory(folder).name[1:])

    def rename_folder(self, old: tuple[str, ...], new: tuple[str, ...]) -> None:
        self.directory(old).rename(self.directory(new))

    def delete_folder(self, folder: tuple[str, ...]) -> None:
        box = mailbox.Maildir(self.directory(folder), create=False)
        box.clear()
        mailbox.Maildir(self.root, create=False).remove_folder(self.directory(folder).name[1:])

    def _file(self, message: str) -> Path:
        (path,) = (
            Path(directory, name)
            for directory, _, names in os.walk(self.root)
            for name in names
            if name.partition(":")[0] == message
        )
        return path


@pytest.fixture
def rig(tmp_path: Path) -> MaildirRig:
    return MaildirRig(tmp_path / "Maildir")


class TestMaildirSource(SourceContract):
    pass
