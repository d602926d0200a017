"""Runs simulated worlds and tells what came of them; see scripts/simulate."""

from __future__ import annotations

import argparse
import json
import sys
import time

import structlog

from streambackup.testing.simulation.run import Verdict, reproduction, simulate

TELL_EVERY = 50


def main() -> int:
    options = _options()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    began_s = time.monotonic()
    verdicts: list[Verdict] = []
    failed: list[int] = []
    for seed in range(options.first, options.first + options.seeds):
        verdict = simulate(seed)
        verdicts.append(verdict._replace(trace=[]))
        if options.trace:
            print("\n".join(verdict.trace))
        if verdict.violation:
            failed.append(seed)
            print(f"seed {seed}: {verdict.violation}\n  again: {reproduction(seed)}", flush=True)
        if len(verdicts) % TELL_EVERY == 0:
            print(f"{len(verdicts)} seeds, {len(failed)} failed", file=sys.stderr, flush=True)
    summary = _summary(verdicts, failed, time.monotonic() - began_s)
    print(json.dumps(summary) if options.json else _told(summary))
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/simulate")
    parser.add_argument("--seeds", type=int, default=200, metavar="N")
    parser.add_argument("--first", type=int, default=1, metavar="SEED")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _summary(verdicts: list[Verdict], failed: list[int], seconds: float) -> dict[str, object]:
    return {
        "seeds": len(verdicts),
        "first": verdicts[0].seed,
        "failed": failed,
        "records": sum(verdict.records for verdict in verdicts),
        "starts": sum(verdict.starts for verdict in verdicts),
        "rebalances": sum(verdict.rebalances for verdict in verdicts),
        "power_losses": sum(verdict.power_losses for verdict in verdicts),
        "zombies": sum(verdict.zombies for verdict in verdicts),
        "digest": verdicts[-1].trace_digest,
        "seconds": round(seconds, 1),
    }


def _told(summary: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in summary.items())


if __name__ == "__main__":
    sys.exit(main())
