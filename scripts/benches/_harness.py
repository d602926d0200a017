"""What every bench shares: ours and a rival measured in turn, and one JSON line at the end.

ROWS = ["F122"]                                          # rows of docs/behaviour.md it proves
BENCH = Bench("restore", unit="s", at_most=2.0)          # the bound of ours / rival

def main() -> None:
    options = BENCH.parser(__doc__).parse_args()
    pairs = alternate(restore_one, start_python, pairs=options.pairs)
    BENCH.finish(pairs, as_json=options.json)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SERVICES = Path(__file__).resolve().parent.parent / "services"


@dataclass(frozen=True)
class Pair:
    """Two measurements made one right after the other."""

    ours: float
    rival: float

    @property
    def ratio(self) -> float:
        return self.ours / self.rival


@dataclass(frozen=True)
class Bench:
    """A name, the unit of both figures, and the bound of their ratio."""

    name: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None

    def parser(self, description: str | None, *, pairs: int = 5) -> argparse.ArgumentParser:
        """The options of every bench; one may add its own."""
        parser = argparse.ArgumentParser(prog=f"bench {self.name}", description=description)
        parser.add_argument("--json", action="store_true", help="end with one line of JSON")
        parser.add_argument("--pairs", type=int, default=pairs, help="how often to measure both")
        return parser

    def result(
        self, pairs: Sequence[Pair], also: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """The median ratio of the pairs. The spread is (largest - smallest) / median ratio."""
        ratios = [pair.ratio for pair in pairs]
        ratio = statistics.median(ratios)
        return {
            "name": self.name,
            "ours": _rounded(statistics.median(pair.ours for pair in pairs)),
            "rival": _rounded(statistics.median(pair.rival for pair in pairs)),
            "ratio": _rounded(ratio),
            "also": dict(also or {}),
            "unit": self.unit,
            "runs": len(pairs),
            "spread": _rounded((max(ratios) - min(ratios)) / ratio),
        }

    def missed(self, ratio: float) -> str | None:
        """One line when *ratio* is beyond the bound."""
        if self.at_least is not None and ratio < self.at_least:
            return f"{self.name}: {ratio:.3g} is less than {self.at_least:g}"
        if self.at_most is not None and ratio > self.at_most:
            return f"{self.name}: {ratio:.3g} is more than {self.at_most:g}"
        return None

    def finish(
        self,
        pairs: Sequence[Pair],
        *,
        as_json: bool,
        also: Mapping[str, object] | None = None,
        broken: Sequence[str] = (),
    ) -> None:
        """Print the result and end the process: with 1 when the bound is missed, or when promises
        of the bench's own are *broken*, a line for each.
        """
        result = self.result(pairs, also)
        missed = self.missed(statistics.median(pair.ratio for pair in pairs))
        lines = [*([missed] if missed else []), *(f"{self.name}: {line}" for line in broken)]
        for line in lines:
            say(f"BOUND MISSED: {line}")
        print(json.dumps(result) if as_json else as_text(result), flush=True)
        sys.exit(bool(lines))


def alternate(ours: Callable[[], float], rival: Callable[[], float], *, pairs: int) -> list[Pair]:
    """Measure both *pairs* times, each going first in turn, so that a drift of the machine meets
    both alike."""
    measured = []
    for number in range(pairs):
        if number % 2 == 0:
            pair = Pair(ours=ours(), rival=rival())
        else:
            theirs = rival()
            pair = Pair(ours=ours(), rival=theirs)
        say(f"{number + 1}/{pairs}: ours {pair.ours:.4g}, rival {pair.rival:.4g}")
        measured.append(pair)
    return measured


def say(text: str) -> None:
    """Tell how it goes; standard output is for the result."""
    print(text, file=sys.stderr, flush=True)


def as_text(result: Mapping[str, object]) -> str:
    also = result["also"]
    assert isinstance(also, dict)
    lines = [f"{key:8} {value}" for key, value in result.items() if key != "also"]
    return "\n".join([*lines, *(f"  {key}: {value}" for key, value in also.items())])


@contextlib.contextmanager
def kafka() -> Iterator[str]:
    """The bootstrap address of a real broker; stopped afterwards unless it ran before."""
    ran = _services("status", "--json")
    if json.loads(ran)["state"] == "running":
        yield str(json.loads(ran)["address"])
        return
    say("starting kafka")
    started = _services("start")
    try:
        yield started.split()[1]
    finally:
        _services("stop")


def _services(verb: str, *options: str) -> str:
    """The last line that scripts/services prints."""
    command = [str(SERVICES), verb, "kafka", *options]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout.strip().splitlines()[-1]


def _rounded(value: float) -> float:
    """Four digits are more than any run repeats."""
    return float(f"{value:.4g}")
