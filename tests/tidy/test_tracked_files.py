"""What is committed works on any machine, from any package index."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tidy.tree import ROOT, files, texts

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|repo1?\.maven|npmjs\.(org|com)|crates\.io|proxy\.golang"
)
LOCK_LINE = re.compile(r"#.*|    --hash=sha256:[0-9a-f]{64}( \\)?|    # .*|[\w.-]+==[\w.!+-]+ \\|")


def test_no_file_names_a_place_of_one_machine() -> None:
    places = [str(ROOT)] + [str(home) for home in (Path.home(),) if home != Path("/")]
    found = [
        (str(path), place) for path, text in texts() for place in places if f"{place}/" in text
    ]

    assert found == []


def test_no_file_names_a_package_registry() -> None:
    found = [(str(path), match[0]) for path, text in texts() if (match := REGISTRIES.search(text))]

    assert found == []


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    strange = [line for line in lines if not LOCK_LINE.fullmatch(line) or "://" in line]

    assert strange == []


def test_the_lock_pins_every_library_the_project_names() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    project = (ROOT / "pyproject.toml").read_text()
    block = project[project.index("dependencies = [") : project.index("[project.scripts]")]
    named = re.findall(r'^  "([\w-]+)', block, re.MULTILINE)

    assert [name for name in named if f"\n{name}==" not in lock] == []
    assert len(named) > 20


def test_scripts_can_be_run() -> None:
    scripts = [path for path in files() if path.parts[0] in {"scripts", ".ci"} and not path.suffix]

    assert [str(path) for path in scripts if not (ROOT / path).stat().st_mode & 0o111] == []
    assert Path("scripts/setup") in scripts


def test_shell_scripts_stop_at_the_first_error() -> None:
    shells = [(path, text) for path, text in texts() if text.startswith("#!/usr/bin/env bash")]

    assert [str(path) for path, text in shells if "set -euo pipefail" not in text] == []
    assert len(shells) > 3
