"""Engines in processes of their own that take turns."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.runners import STARTED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# Seconds before a turn. The threads of whoever had the turn before go on looking for work for some
# time (OpenBLAS's for 2^26 cycles, 30 ms) and would take a core from who comes next.
_SETTLES = 0.2
# The application keeps NumPy to one core; a peak is that of all.
_ONE_THREAD = "OPENBLAS_NUM_THREADS"


@dataclass
class Runner:
    """A process of :mod:`bench.runners`.

    Attributes:
        name: of the engine.
        process: waits for lines.
        first_answer_s: seconds from its start to its first answer.
        mib: resident memory after the first answer, and after the last run.
        times: milliseconds of every run, by batch.
        medians: milliseconds of a run, one for each turn, by batch.
    """

    name: str
    process: subprocess.Popen[str]
    first_answer_s: float
    mib: tuple[float, float]
    times: dict[int, list[float]] = field(default_factory=dict)
    medians: dict[int, list[float]] = field(default_factory=dict)

    def turn(self, batch: int, times: int, *, warm: int = 1) -> None:
        """Run a batch so many times, after ``warm`` runs that are not counted."""
        time.sleep(_SETTLES)
        found = _asked(self.process, f"{batch} {warm + times}")["ms"][warm:]
        self.times.setdefault(batch, []).extend(found)
        self.medians.setdefault(batch, []).append(float(np.median(found)))

    def image_ms(self, batch: int) -> float:
        """Return the median milliseconds an image."""
        return float(np.median(self.times[batch])) / batch

    def end(self) -> None:
        """Read its memory and end it."""
        self.mib = (self.mib[0], float(_asked(self.process, "1 1")["mib"]))
        self.process.communicate()


class EngineMissingError(RuntimeError):
    """An engine does not come up; the message is the end of its words."""


@contextmanager
def running(names: Sequence[str], release: Path, made: Path) -> Iterator[tuple[list[Runner], Any]]:
    """Start each engine; yields those that came up, and why each other did not."""
    runners: list[Runner] = []
    missing: dict[str, str] = {}
    try:
        for name in names:
            try:
                runners.append(start(name, release, made))
            except EngineMissingError as error:
                missing[name] = str(error)
        yield runners, missing
        for one in runners:
            one.end()
    finally:
        for one in runners:
            one.process.kill()
            one.process.wait()


def start(name: str, release: Path, made: Path) -> Runner:
    """Start one engine and wait for its first answer.

    Raises:
        EngineMissingError: it does not come up.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.runners", name, str(release), str(made)],
        env={name: value for name, value in os.environ.items() if name != _ONE_THREAD}
        | {STARTED: str(time.time()), "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = _answer(process)
    except EngineMissingError:
        process.kill()
        process.wait()
        raise
    return Runner(name, process, float(told["first_answer_s"]), (float(told["mib"]), 0.0))


def _asked(process: subprocess.Popen[str], line: str) -> dict[str, Any]:
    assert process.stdin is not None  # noqa: S101 - for the type checker: it is a pipe
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return _answer(process)


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - likewise
    line = process.stdout.readline()
    # TensorFlow and LiteRT write a word or two to the same place.
    while line and not line.startswith("{"):
        line = process.stdout.readline()
    if not line:
        words = process.communicate()[1].strip().splitlines()
        raise EngineMissingError(words[-1][:200] if words else "It ended without a word.")
    answer: dict[str, Any] = json.loads(line)
    return answer
