"""Run the benchmarks and print what they measured as Markdown.

``python -m bench`` runs the short ones, ``python -m bench intake chaos`` those named; ``--quick``
repeats each measurement less often. What cannot run here (a library that is missing, a port that is
taken) is reported in its place, the rest goes on, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import re
import sys
import time
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

BENCHMARKS = ("intake", "decoders", "engines", "visit", "audit_trail")
# Many minutes each, or in need of the image sets: only when they are named.
ON_DEMAND = ("outside", "quality", "copies", "chaos", "memory", "migrations")
_LIBRARIES = ("django", "pillow", "pillow-heif", "numpy", "ai-edge-litert", "tensorflow", "keras")


class _Benchmark(Protocol):
    def run(self, *, quick: bool) -> str:
        """Return a section in Markdown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, the short ones by default.

    Returns:
        The exit status: 1 where one of them could not run.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"what to measure: {', '.join(BENCHMARKS)}; or {', '.join(ON_DEMAND)}",
    )
    parser.add_argument("--quick", action="store_true", help="repeat less often")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - {*BENCHMARKS, *ON_DEMAND}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    print(describe_machine(), flush=True)
    failed = False
    for name in chosen.names or BENCHMARKS:
        began = time.perf_counter()
        try:
            benchmark = cast("_Benchmark", importlib.import_module(f"bench.{name}"))
            section = benchmark.run(quick=chosen.quick)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are wanted
            failed = True
            traceback.print_exc()
            section = f"## {name}\n\nNot measured: {type(error).__name__}: {error}"
        spent = time.perf_counter() - began
        print(f"\n{section}\n\n({name} took {spent:.0f} s; load now {_load()})", flush=True)
    return int(failed)


def describe_machine() -> str:
    """Return what the figures depend on: processor, cores, load, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = []
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            found.append(f"{library} missing")
    return (
        f"{_processor()}, {cores} cores, {platform.system()}, load {_load()}; "
        f"Python {platform.python_version()}, {', '.join(found)}"
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", facts.read_text(), re.MULTILINE)
        if named is not None:
            return named.group(1)
    return platform.processor() or platform.machine()


def _load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


if __name__ == "__main__":
    sys.exit(main())
