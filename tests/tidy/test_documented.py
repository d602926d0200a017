"""Every setting, error, metric and command is in the documents, and their links lead somewhere."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from reference import DOCS, pages
from streambackup import errors
from streambackup.cli.main import COMMANDS
from streambackup.domain.finding import FindingClass
from streambackup.errors import StreamBackupError
from streambackup.runtime.metrics import Metrics
from streambackup.service import endpoints
from streambackup.service.settings import MaildirSettings
from streambackup.service.settings_loading import setting_keys
from tests.tidy.tree import ROOT, texts

LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def error_classes() -> list[type[StreamBackupError]]:
    """All of errors.py. A room may refine one for its own use; it keeps the code it inherits."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    return [kind for kind in kinds if issubclass(kind, StreamBackupError)]


def test_the_reference_is_what_the_code_says() -> None:
    stale = [path.name for path, text in pages().items() if path.read_text() != text]

    assert stale == [], "run scripts/reference"


def test_every_setting_is_documented() -> None:
    text = page("settings")
    keys = [*setting_keys(), *MaildirSettings.__struct_fields__]

    assert [key for key in keys if f"`{key}`" not in text] == []


def test_every_metric_is_documented() -> None:
    text = page("metrics")
    names = [metric.name for metric in Metrics().registry.collect()]

    assert [name for name in names if name not in text] == []
    assert len(names) > 10


def test_every_path_served_is_documented() -> None:
    text = page("metrics")
    served = re.findall(r'web\.get\("(/\w+)"', inspect.getsource(endpoints))

    assert [path for path in served if f"`{path}`" not in text] == []
    assert "/healthz" in served


def test_a_code_that_errors_share_has_the_meaning_of_them_all() -> None:
    text = page("cli")

    assert "| `4` | no store there, or it or its audit log cannot be used |" in text


def test_every_command_is_documented() -> None:
    text = page("cli")

    assert [words for words in COMMANDS if f"streambackup {words}" not in text] == []
    assert COMMANDS


def test_every_class_of_finding_is_documented() -> None:
    text = page("cli")

    assert [found for found in FindingClass if f"| `{found}` |" not in text] == []


def test_every_exit_code_is_documented() -> None:
    listed = set(re.findall(r"^\| `?(\d+)`? \|", page("cli"), re.MULTILINE))
    kinds = error_classes()

    assert [kind.__name__ for kind in kinds if str(kind.exit_code) not in listed] == []
    assert len(kinds) > 10


def test_the_tree_drawn_in_errors_is_the_one_of_the_classes() -> None:
    drawn = dict(re.findall(r"^ +(\w+Error) +(\d+)", errors.__doc__ or "", re.MULTILINE))

    assert drawn == {kind.__name__: str(kind.exit_code) for kind in error_classes()}


def test_no_two_errors_share_an_exit_code() -> None:
    """One that says nothing of its own has its parent's."""
    codes = [kind.exit_code for kind in error_classes() if "exit_code" in vars(kind)]

    assert sorted(codes) == sorted(set(codes))


def test_links_between_documents_lead_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path, text in texts()
        if path.suffix == ".md"
        for target, _ in LINK.findall(text)
        if "://" not in target and not (ROOT / path.parent / Path(target)).exists()
    ]

    assert broken == []
