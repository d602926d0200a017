"""What is committed works on any machine, from any package index."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tidy.tree import ROOT, files, texts

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|repo1?\.maven|npmjs\.(org|com)|crates\.io|proxy\.golang"
)


def test_no_file_names_a_place_of_one_machine() -> None:
    places = [str(ROOT)] + [str(home) for home in (Path.home(),) if home != Path("/")]
    found = [
        (str(path), place) for path, text in texts() for place in places if f"{place}/" in text
    ]

    assert found == []


def test_no_file_names_a_package_registry() -> None:
    found = [(str(path), match[0]) for path, text in texts() if (match := REGISTRIES.search(text))]

    assert found == []


def test_scripts_can_be_run() -> None:
    scripts = [path for path in files() if path.parts[0] in {"scripts", ".ci"} and not path.suffix]

    assert [str(path) for path in scripts if not (ROOT / path).stat().st_mode & 0o111] == []
    assert Path("scripts/setup") in scripts


def test_shell_scripts_stop_at_the_first_error() -> None:
    shells = [(path, text) for path, text in texts() if text.startswith("#!/usr/bin/env bash")]

    assert [str(path) for path, text in shells if "set -euo pipefail" not in text] == []
    assert len(shells) > 3
