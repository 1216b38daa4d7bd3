"""Whether a worker's memory stays flat over thousands of predictions.

A real Celery worker with the shipped networks, and beat, work off a queue of both kinds of images;
the resident memory of the one child that runs the networks is read every hundred predictions. Both
networks are loaded within the first of them and the allocator settles, so the first fifth is left
out of the judgement.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.chaos.site import Site, new_folder

_PREDICTIONS, _QUICK = 5000, 400
_EVERY = 100
_SETTLING = 0.2
_STRETCHES = 8
# Student's 97.5 % point for two parameters less than there are stretches.
_STUDENT = 2.447
_PATIENCE_SECONDS = 3600.0
# Without a new prediction for so long it stands still: a lease and two sweeps would have passed.
_STILL_SECONDS = 240.0
# A child is replaced after 5 000 messages (``CELERY_WORKER_MAX_TASKS_PER_CHILD``), each of an image
# where they come one by one and of many from a full queue: at 2 MiB a thousand, half a million
# images would fit into what the container of a worker has to spare.
_LIMIT_MIB = 2.0
_CHART_WIDTH = 40
_DONE = "SELECT count(*) FROM classifier_prediction"
# Real leases: on a busy machine a batch takes longer than those of the chaos run.
_PACE = {"ANALYSIS_SWEEP_SECONDS": "2"}

Curve = list[tuple[int, float]]


class MemoryGrowsError(RuntimeError):
    """The memory is not shown to be flat; the message is the table."""


@dataclass(frozen=True)
class Trend:
    """A straight line through the curve.

    Attributes:
        gain: MiB a thousand predictions.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    gain: float
    low: float
    high: float


def run(*, quick: bool) -> str:
    """Measure, and return the curve as Markdown.

    Args:
        quick: 400 predictions instead of 5 000, which proves nothing about small leaks.

    Raises:
        MemoryGrowsError: the interval of its gain reaches over 2 MiB a thousand predictions.
        RuntimeError: the worker's child was replaced or nothing moves.
    """
    curve, spent = measure(_QUICK if quick else _PREDICTIONS)
    trend = trend_of(curve)
    flat = trend.high <= _LIMIT_MIB
    verdict = "flat" if flat else "NOT SHOWN TO BE FLAT"
    cost = 1000 * spent / curve[-1][0]
    lines = [
        "## Memory of a worker's child",
        "",
        *_chart(curve),
        "",
        (
            f"After the first fifth it gains {trend.gain:+.2f} MiB a thousand predictions (least "
            f"squares; 95 % interval {trend.low:+.2f} to {trend.high:+.2f}, from the means of "
            f"eight stretches). At most {_LIMIT_MIB:.0f} is allowed: {verdict}. "
            f"A prediction costs it {cost:.0f} ms of processor time, everything included."
        ),
    ]
    if not quick and not flat:
        raise MemoryGrowsError("\n".join(lines))
    return "\n".join(lines)


def trend_of(curve: Curve) -> Trend:
    """Return the slope of a straight line through all but the first fifth of the curve.

    Memory goes up in steps and stays: readings next to each other are no independent witnesses.
    The line is therefore laid through the means of eight stretches of equal length (batch means),
    and the interval is Student's for the six degrees of freedom that those leave.

    Args:
        curve: predictions and MiB, the last one with all predictions.

    Returns:
        MiB a thousand predictions.

    Raises:
        ValueError: fewer than two readings are left for each stretch.
    """
    first = _SETTLING * curve[-1][0] if curve else 0
    late = [point for point in curve if point[0] >= first]
    if len(late) < 2 * _STRETCHES:
        msg = f"{len(late)} readings are too few."
        raise ValueError(msg)
    parts = np.array_split(np.array(late, dtype=np.float64), _STRETCHES)
    counts, sizes = np.array([part.mean(axis=0) for part in parts]).T
    places = (counts - counts.mean()) / 1000
    weight = float(places @ places)
    gain = float(places @ sizes) / weight
    off = sizes - sizes.mean() - gain * places
    reach = _STUDENT * float(np.sqrt(off @ off / (_STRETCHES - 2) / weight))
    return Trend(gain, gain - reach, gain + reach)


def _chart(curve: Curve) -> list[str]:
    """Return the curve as a table with bars, one row for each 250 predictions or so."""
    highest = max(mib for _done, mib in curve)
    step = max(1, len(curve) // 20)
    shown = [*curve[: len(curve) - 1 : step], curve[-1]]
    return [
        "| predictions | resident, MiB | |",
        "|---|---|---|",
        *(
            f"| {done} | {mib:.1f} | {'█' * round(_CHART_WIDTH * mib / highest)} |"
            for done, mib in shown
        ),
    ]


def measure(predictions: int) -> tuple[Curve, float]:
    """Let one worker make so many predictions.

    Returns:
        How many were made and MiB, now and then; and the seconds of processor time of the child.
    """
    folder = new_folder()
    site = Site(folder, workers=1, pace=dict(_PACE))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(site.stop)
        site.start(patients=1, mount=False, members=())
        site.finish([sys.executable, "-m", "bench.memory_rows", str(predictions)])
        for name in ("worker0", "beat"):
            site.launch(name)
        return _watch(site, predictions)


def _watch(site: Site, predictions: int) -> tuple[Curve, float]:
    curve: Curve = []
    child = moved = 0
    began = last = time.monotonic()
    while moved < predictions:
        time.sleep(0.2)
        now = time.monotonic()
        ((done,),) = site.ask(_DONE)
        if done != moved:
            moved, last = int(done), now
        if now - last > _STILL_SECONDS or now - began > _PATIENCE_SECONDS:
            words = site.log("worker0").read_text(encoding="utf-8", errors="replace")
            msg = f"The worker stands still after {moved} predictions:\n{words[-3000:]}"
            raise RuntimeError(msg)
        if done < min(predictions, (len(curve) + 1) * _EVERY):
            continue
        (found,) = children(site.processes["worker0"].pid)
        if child not in {0, found}:
            msg = f"The worker's child was replaced after {moved} predictions."
            raise RuntimeError(msg)
        child = found
        curve.append((moved, resident_mib(child)))
        print(f"{now - began:5.0f} s {moved:5} {curve[-1][1]:.1f} MiB", file=sys.stderr, flush=True)
    return curve, processor_seconds(child)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    msg = f"Process {pid} has no memory."
    raise RuntimeError(msg)


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    facts = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    # Fields 14 and 15 of proc(5), of which the name in brackets and the two before it are cut off.
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")
