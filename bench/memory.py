"""Whether a worker's memory stays flat over thousands of predictions.

A real Celery worker works off a queue of both kinds of images; the resident memory of the one child
that runs the networks is read as the count goes up. Both networks are loaded within the first
predictions, and the allocator settles, so the first tenth is left out of the judgement.
"""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bench.chaos.site import Site, new_folder

_PREDICTIONS = 5000
_QUICK = 400
_SAMPLES = 20
_PATIENCE_SECONDS = 3600.0
# What may be gained a thousand predictions after the first tenth: 5 000 a day for a month would
# then be under the limit of a container, and a child is replaced after 5 000 messages anyway.
_LIMIT_MIB = 4.0
_DONE = "SELECT count(*) FROM classifier_prediction"


class MemoryGrowsError(RuntimeError):
    """The memory is not flat; the message is the table."""


def run(*, quick: bool) -> str:
    """Measure, and return the curve as Markdown.

    Args:
        quick: 400 predictions instead of 5 000, which proves nothing about small leaks.

    Raises:
        MemoryGrowsError: it gains more than 4 MiB a thousand predictions.
        RuntimeError: the worker's child was replaced or nothing moves.
    """
    curve = measure(_QUICK if quick else _PREDICTIONS)
    gain = gain_per_thousand(curve)
    lines = [
        "## Memory of a worker's child",
        "",
        "| predictions | resident, MiB |",
        "|---|---|",
        *(f"| {done} | {mib:.1f} |" for done, mib in curve),
        "",
        (
            f"After the first tenth it gains {gain:+.2f} MiB a thousand predictions "
            f"(least squares; the limit is {_LIMIT_MIB:.0f})."
        ),
    ]
    if not quick and gain > _LIMIT_MIB:
        raise MemoryGrowsError("\n".join(lines))
    return "\n".join(lines)


def gain_per_thousand(curve: list[tuple[int, float]]) -> float:
    """Return the slope of a straight line through all but the first tenth of the curve.

    Args:
        curve: predictions and MiB, the last one with all predictions.

    Returns:
        MiB a thousand predictions; 0 where fewer than two points are left.
    """
    last = curve[-1][0] if curve else 0
    late = [point for point in curve if point[0] >= last / 10]
    if len(late) < 2:  # noqa: PLR2004 - a line needs two points
        return 0.0
    counts, sizes = np.array(late, dtype=np.float64).T
    return float(np.polyfit(counts, sizes, 1)[0] * 1000)


def measure(predictions: int) -> list[tuple[int, float]]:
    """Let one worker make so many predictions; return how many were made and MiB, now and then."""
    folder = new_folder()
    site = Site(folder, workers=1)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(site.stop)
        site.start(patients=1, mount=False, members=("worker0",))
        site.finish([sys.executable, "-m", "bench.memory_rows", str(predictions)])
        return _watch(site, predictions)


def _watch(site: Site, predictions: int) -> list[tuple[int, float]]:
    curve: list[tuple[int, float]] = []
    child = 0
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not curve or curve[-1][0] < predictions:
        if time.monotonic() > deadline:
            msg = f"The worker stands still at {curve[-1:]}; see its log."
            raise RuntimeError(msg)
        time.sleep(0.2)
        ((done,),) = site.ask(_DONE)
        if done < (len(curve) + 1) * predictions / _SAMPLES:
            continue
        (now,) = _children(site.processes["worker0"].pid)
        if child not in {0, now}:
            raise RuntimeError("The worker's child was replaced meanwhile.")
        child = now
        curve.append((int(done), resident_mib(child)))
        print(curve[-1], file=sys.stderr, flush=True)
    return curve


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    msg = f"Process {pid} has no memory."
    raise RuntimeError(msg)
