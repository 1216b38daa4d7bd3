"""``python -m bench.chaos [--images 1000] [--times 6] [--seed 1]``."""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path

import bench.chaos
from bench.chaos import Plan, run_plan
from bench.chaos.report import table
from bench.machine import in_words, load, machine_facts


def main() -> int:
    """Run once; the status is 1 where something was lost, doubled or out of bounds."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=bench.chaos.__doc__)
    parser.add_argument("--images", type=int, default=usual.images)
    parser.add_argument("--times", type=int, default=usual.times, help="each damage so often")
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--releases", type=Path, help="other networks than the shipped ones")
    parser.add_argument("--no-mount", action="store_true", help="fill no real disk")
    chosen = parser.parse_args()
    # Told to end, it takes its servers and its disk with it.
    signal.signal(signal.SIGTERM, lambda sign, _frame: sys.exit(128 + sign))
    outcome = run_plan(
        Plan(
            images=chosen.images,
            times=chosen.times,
            seed=chosen.seed,
            releases=chosen.releases,
            mount=not chosen.no_mount,
        )
    )
    print(f"{in_words(machine_facts())}, load {load()}")
    print(table(outcome))
    return 1 if outcome.faults else 0


if __name__ == "__main__":
    sys.exit(main())
