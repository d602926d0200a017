"""Small files, small functions; what is over is listed in exceptions.toml with its reason."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import ROOT, functions, modules

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
ALLOWED = tomllib.loads(Path(__file__).with_name("exceptions.toml").read_text())


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, the docstring not counted."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def long_files() -> Iterator[str]:
    for path, _ in modules("streambackup", "tests", "scripts"):
        if (ROOT / path).read_bytes().count(b"\n") > FILE_LINES_MAX:
            yield str(path)


def long_functions() -> Iterator[str]:
    for path, tree in modules("streambackup", "tests", "scripts"):
        for function in functions(tree):
            if length(function) > FUNCTION_LINES_MAX:
                yield f"{path}::{function.name}"


def test_no_other_file_is_over_its_budget() -> None:
    assert set(long_files()) == set(ALLOWED["files"])


def test_no_other_function_is_over_its_budget() -> None:
    assert set(long_functions()) == set(ALLOWED["functions"])


def test_every_exception_has_a_reason() -> None:
    reasons = [*ALLOWED["files"].values(), *ALLOWED["functions"].values()]

    assert all(len(reason) >= 20 for reason in reasons)


def test_a_docstring_costs_nothing() -> None:
    (function,) = functions(ast.parse('def f():\n    """One\n\n    two."""\n    return 1\n'))

    assert length(function) == 2
