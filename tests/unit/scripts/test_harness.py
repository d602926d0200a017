"""The harness of the benches: fair turns, the median of pair ratios, one JSON line."""

from __future__ import annotations

import json

import pytest

from benches._harness import Bench, Pair, alternate

KEYS = ["name", "ours", "rival", "ratio", "also", "unit", "runs", "spread"]


def test_each_goes_first_in_turn() -> None:
    order: list[str] = []

    def ours() -> float:
        order.append("ours")
        return 2.0

    def rival() -> float:
        order.append("rival")
        return 4.0

    pairs = alternate(ours, rival, pairs=3)

    assert order == ["ours", "rival", "rival", "ours", "ours", "rival"]
    assert pairs == [Pair(ours=2.0, rival=4.0)] * 3


def test_the_ratio_is_the_median_of_the_pairs_not_the_ratio_of_medians() -> None:
    pairs = [Pair(1, 10), Pair(10, 20), Pair(30, 30)]

    result = Bench("x", unit="s").result(pairs, also={"alone": 3})

    assert list(result) == KEYS
    assert result["ratio"] == 0.5
    assert (result["ours"], result["rival"], result["runs"]) == (10, 20, 3)
    assert result["spread"] == 1.8
    assert result["also"] == {"alone": 3}


def test_the_last_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        Bench("x", unit="records/s", at_least=0.4).finish([Pair(50, 100)], as_json=True)

    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(last) == KEYS
    assert not ended.value.code


@pytest.mark.parametrize("bench", [Bench("x", "s", at_least=0.6), Bench("x", "s", at_most=0.4)])
def test_a_missed_bound_fails_the_bench_and_still_shows_the_figures(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.finish([Pair(50, 100)], as_json=True)

    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert "BOUND MISSED: x: 0.5 is" in shown.err
    assert json.loads(shown.out)["ratio"] == 0.5


def test_a_broken_promise_fails_a_bench_that_keeps_its_bound(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        Bench("x", "ms", at_most=1).finish([Pair(1, 2)], as_json=True, broken=["y: 2 s, not 1"])

    shown = capsys.readouterr()
    assert ended.value.code == 1
    assert shown.err == "BOUND MISSED: x: y: 2 s, not 1\n"
    assert json.loads(shown.out)["ratio"] == 0.5
