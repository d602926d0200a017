from __future__ import annotations

import json
from pathlib import Path

import pytest

from rows import (
    BEHAVIOUR,
    BENCHES,
    Proof,
    Verdict,
    as_json,
    benched,
    documented,
    judge,
    marked,
)


@pytest.fixture(scope="module")
def rows() -> dict[str, str]:
    return documented(BEHAVIOUR.read_text())


def test_the_page_lists_all_201_rows_in_order(rows: dict[str, str]) -> None:
    wanted = [f"F{number:03}" for number in range(1, 195)] + [f"M{n}" for n in range(1, 8)]

    assert list(rows) == wanted


def test_every_mark_names_a_row_of_the_page(
    request: pytest.FixtureRequest, rows: dict[str, str]
) -> None:
    strays = [proof for proof in marked(request.session.items) if proof.row not in rows]

    assert strays == []


def test_every_bench_names_rows_of_the_page(rows: dict[str, str]) -> None:
    assert [proof for proof in benched(BENCHES) if proof.row not in rows] == []


def test_a_row_proven_wholly_and_in_part_is_proven() -> None:
    proofs = [Proof("F001", "mail", "a"), Proof("F001", None, "b")]

    assert judge(["F001"], proofs) == Verdict(proven=["F001"], partly={}, open=[])


def test_parts_add_up_but_do_not_prove_a_row() -> None:
    proofs = [Proof("F001", "mail", "a"), Proof("F001", "contacts", "b"), Proof("F001", "mail", "")]

    verdict = judge(["F001", "F002"], proofs)

    assert verdict == Verdict(proven=[], partly={"F001": ["contacts", "mail"]}, open=["F002"])


def test_the_json_form_is_one_line_of_three_lists() -> None:
    line = as_json(Verdict(proven=["F002"], partly={"F001": ["mail"]}, open=["M7"]))

    assert "\n" not in line
    assert json.loads(line) == {"proven": ["F002"], "partly": ["F001"], "open": ["M7"]}


def test_a_bench_proves_what_it_lists(tmp_path: Path) -> None:
    (tmp_path / "restore.py").write_text('import time\nROWS = ["F122"]\n')
    (tmp_path / "_harness.py").write_text('ROWS = ["F001"]\n')

    assert list(benched(tmp_path)) == [Proof("F122", None, "bench restore")]
