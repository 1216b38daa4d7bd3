"""How much longer work takes on this machine at present than it needs of a processor's time.

``python -m bench.yardstick`` counts for some 40 ms, twice a second, until its input ends, and
prints how much longer that took by the clock than by the processor's time: 1 where a processor was
always free, 5 where four others wanted it as well.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from dataclasses import dataclass

_PAUSE = 0.5
# More than a slice of processor time, which a process that slept gets at once on a busy machine.
_COUNT = 1_200_000


@dataclass
class Yardstick:
    """A process of its own that measures while a run goes on."""

    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.yardstick"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def stop(self) -> float:
        """Stop measuring and return the ratio, 1 or more."""
        assert self._process is not None  # noqa: S101 - for the type checker: it was started
        told, _nothing = self._process.communicate()
        return max(1.0, float(told))


def measure(end: threading.Event) -> float:
    """Count now and then until the end; return clock time by processor time."""
    clock = processor = 0.0
    while not (end.wait(_PAUSE) and clock):
        began, used = time.perf_counter(), time.thread_time()
        for _number in range(_COUNT):
            pass
        clock += time.perf_counter() - began
        processor += time.thread_time() - used
    return clock / processor


def main() -> None:
    """Measure until the input ends."""
    end = threading.Event()

    def listen() -> None:
        sys.stdin.read()
        end.set()

    threading.Thread(target=listen, daemon=True).start()
    print(measure(end))


if __name__ == "__main__":
    main()
