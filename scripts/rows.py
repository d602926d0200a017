"""Which rows of docs/behaviour.md are proven: read from the collected tests and the benches.

scripts/rows          proven, partly and open rows, each with its behaviour
scripts/rows --json   one line: {"proven": [...], "partly": [...], "open": [...]}
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BEHAVIOUR = ROOT / "docs" / "behaviour.md"
BENCHES = ROOT / "scripts" / "benches"


@dataclass(frozen=True)
class Proof:
    """A test or bench that proves a row, or the named part of it."""

    row: str
    part: str | None
    place: str


@dataclass(frozen=True)
class Verdict:
    """Every row once. ``partly`` says which parts are proven."""

    proven: list[str]
    partly: dict[str, list[str]]
    open: list[str]


def judge(rows: Iterable[str], proofs: Iterable[Proof]) -> Verdict:
    """Sort *rows*: one proof of a whole row outdoes any number of parts."""
    parts: dict[str, set[str]] = {}
    whole = set()
    for proof in proofs:
        if proof.part is None:
            whole.add(proof.row)
        else:
            parts.setdefault(proof.row, set()).add(proof.part)
    verdict = Verdict([], {}, [])
    for row in rows:
        if row in whole:
            verdict.proven.append(row)
        elif row in parts:
            verdict.partly[row] = sorted(parts[row])
        else:
            verdict.open.append(row)
    return verdict


def documented(text: str) -> dict[str, str]:
    """Id and behaviour of each row, in the order of the page."""
    return dict(re.findall(r"^\| ([FM]\d+) \| ([^|]+?) \|", text, re.MULTILINE))


def marked(items: Iterable[pytest.Item]) -> Iterator[Proof]:
    """What the ``row`` marks of collected tests say."""
    for item in items:
        for mark in item.iter_markers("row"):
            (row,) = mark.args
            yield Proof(row, mark.kwargs.get("part"), item.nodeid)


def benched(folder: Path) -> Iterator[Proof]:
    """What each bench lists in its ``ROWS``."""
    for file in sorted(folder.glob("[!_]*.py")):
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ROWS":
                for row in ast.literal_eval(node.value):
                    yield Proof(row, None, f"bench {file.stem}")


class _Collector:
    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def collect() -> list[pytest.Item]:
    """Every test of the project, without running any."""
    collector = _Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = pytest.main(["--collect-only", "-q", f"--rootdir={ROOT}"], plugins=[collector])
    if code != pytest.ExitCode.OK:
        sys.exit(f"rows: the tests cannot be collected\n{output.getvalue()}")
    return collector.items


def main() -> None:
    parser = argparse.ArgumentParser(prog="rows", description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = documented(BEHAVIOUR.read_text())
    verdict = judge(rows, [*marked(collect()), *benched(BENCHES)])
    print(as_json(verdict) if options.json else as_text(verdict, rows))


def as_json(verdict: Verdict) -> str:
    return json.dumps(
        {"proven": verdict.proven, "partly": list(verdict.partly), "open": verdict.open}
    )


def as_text(verdict: Verdict, rows: dict[str, str]) -> str:
    parts = {row: f" [{', '.join(names)}]" for row, names in verdict.partly.items()}
    sections = {"proven": verdict.proven, "partly": list(verdict.partly), "open": verdict.open}
    lines = []
    for name, ids in sections.items():
        lines += [f"{name}:", *(f"  {row}  {rows[row]}{parts.get(row, '')}" for row in ids), ""]
    counts = (f"{len(ids)} {name}" for name, ids in sections.items())
    return "\n".join([*lines, ", ".join(counts)])


if __name__ == "__main__":
    main()
