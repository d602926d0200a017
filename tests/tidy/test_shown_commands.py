"""Every command line that the documents show can be typed as it stands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from streambackup.cli.main import build_app

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "docs/events.md",
    "docs/cli.md",
    "docs/operating.md",
    "deploy/kafka/README.md",
)
_SHOWN = re.compile(r"^(?:\$ |    \| |\| )?(streambackup [^`]*)$")


def shown_commands() -> list[str]:
    """Lines of code blocks that begin with the program's name, comments and prompts taken off."""
    found = []
    for page in PAGES:
        inside = False
        for line in (ROOT / page).read_text().splitlines():
            if line.startswith("```"):
                inside = not inside
            elif inside and (match := _SHOWN.match(line)):
                found.append(match[1].partition("  #")[0].strip())
    return found


def test_there_are_some() -> None:
    assert len(shown_commands()) > 10


@pytest.mark.parametrize("command", shown_commands())
def test_parses(command: str) -> None:
    words = shlex.split(command)[1:]

    parsed, _, ignored = build_app().parse_args(words, exit_on_error=False, print_error=False)

    assert callable(parsed)
    assert not ignored
