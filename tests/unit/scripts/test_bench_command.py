from __future__ import annotations

import subprocess

from tests.tidy.tree import ROOT


def test_a_bench_that_does_not_exist_is_refused_with_the_list() -> None:
    ran = subprocess.run(
        [ROOT / "scripts" / "bench", "metdata"], capture_output=True, text=True, check=False
    )

    assert ran.returncode == 2
    assert ran.stderr.startswith("bench: there is no bench metdata; there are:")
    assert ran.stdout == ""
