"""Libraries: declared once, pinned by hash, and used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator

from tests.tidy.tree import ROOT, modules

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
LOCK_LINE = re.compile(r"#.*|    --hash=sha256:[0-9a-f]{64}( \\)?|    # .*|[\w.-]+==[\w.!+-]+ \\|")
USED_BY_ANOTHER = {"cramjam": "aiokafka compresses with it"}


def names(requirements: list[str]) -> set[str]:
    """``google-crc32c>=1`` is imported as ``google_crc32c``."""
    return {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in requirements}


def imported() -> Iterator[str]:
    """Top-level names of everything that the product imports."""
    for _, tree in modules("streambackup"):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


def test_the_product_declares_what_it_imports_and_nothing_else() -> None:
    foreign = set(imported()) - sys.stdlib_module_names - {"streambackup"}

    assert names(PROJECT["dependencies"]) - set(USED_BY_ANOTHER) == foreign


def test_the_lock_holds_names_versions_and_hashes_only() -> None:
    strange = [line for line in LOCK.splitlines() if not LOCK_LINE.fullmatch(line)]

    assert strange == []
    assert "://" not in LOCK


def test_the_lock_pins_every_declared_library() -> None:
    pinned = names(re.findall(r"^([\w.-]+)==", LOCK, re.MULTILINE))
    declared = names(PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])

    assert declared - pinned == set()
