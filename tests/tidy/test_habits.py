"""Habits that the linter does not know. Banned names stand in pyproject.toml, for ruff."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.tidy.tree import calls, functions, modules, texts

# Put together here, so that this file does not hold what it looks for.
LEFTOVERS = re.compile(
    r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b|NotImplemented" r"Error|pragma: no" r" cover"
)
VERIFIES = re.compile(r"(check|assert|verif|expect|run_|raises|fail)", re.IGNORECASE)


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines that wait for time to pass; giving way with ``sleep(0)`` is none."""
    for name, call in calls(tree):
        if name.rpartition(".")[2] == "sleep" and [ast.unparse(a) for a in call.args] != ["0"]:
            yield call.lineno


def replaces_parts(tree: ast.AST) -> Iterator[int]:
    """Lines that put something else into a living object or module."""
    for name, call in calls(tree):
        if name in {"monkeypatch.setattr", "mocker.patch"}:
            yield call.lineno


def starts_loose_tasks(tree: ast.AST) -> Iterator[int]:
    """Lines that start a task outside of a group, through the loop itself."""
    for name, call in calls(tree):
        if name.endswith(".create_task") and "loop" in name:
            yield call.lineno


def verifies(function: ast.AST) -> bool:
    """True if it can fail by what it looks at."""
    return any(isinstance(node, ast.Assert) for node in ast.walk(function)) or any(
        VERIFIES.search(name) for name, _ in calls(function)
    )


def idle_tests(module: ast.Module) -> Iterator[str]:
    """Tests that look at nothing, neither themselves nor through a function beside them."""
    looking = {function.name for function in functions(module) if verifies(function)}
    for test in functions(module):
        called = {name.rpartition(".")[2] for name, _ in calls(test)}
        if test.name.startswith("test_") and test.name not in looking and not called & looking:
            yield test.name


def test_nothing_is_left_over() -> None:
    found = [
        f"{path}: {match[0]}"
        for path, text in texts()
        if path.name != "LICENSE"
        for match in LEFTOVERS.finditer(text)
    ]

    assert found == []


def test_tests_wait_for_conditions_not_for_time() -> None:
    assert [(str(path), line) for path, tree in modules("tests") for line in sleeps(tree)] == []


def test_tests_use_real_parts_or_fakes() -> None:
    found = [(str(path), line) for path, tree in modules("tests") for line in replaces_parts(tree)]

    assert found == []


def test_every_test_looks_at_something() -> None:
    found = [f"{path}::{name}" for path, tree in modules("tests") for name in idle_tests(tree)]

    assert found == []


def test_tasks_belong_to_a_group() -> None:
    found = [
        (str(path), line)
        for path, tree in modules("streambackup")
        for line in starts_loose_tasks(tree)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("await asyncio.sleep(0.1)", [1]),
        ("await asyncio.sleep(0)", []),
        ("time.sleep(DELAY)", [1]),
    ],
)
def test_sleeping_is_told_from_giving_way(source: str, found: list[int]) -> None:
    assert list(sleeps(ast.parse(source))) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("store.append(1)", ["test_x"]),
        ("assert store.append(1) == 1", []),
        ("survives(store)", []),
        ("wanders(store)", ["test_x"]),
    ],
)
def test_a_test_without_a_look_is_found(body: str, found: list[str]) -> None:
    helpers = "def survives(store):\n    assert store\ndef wanders(store):\n    store.close()\n"

    assert list(idle_tests(ast.parse(f"{helpers}def test_x(store):\n    {body}\n"))) == found
