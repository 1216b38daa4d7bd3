"""Measure, and write ``docs/performance.md`` from what was measured.

``python -m bench`` measures every section of that document, ``python -m bench engines worker``
those named. ``--quick`` repeats each measurement less often and writes to ``var/bench/`` instead.
The other benchmarks run only when they are named and print Markdown. What cannot run here (a
library that is missing, a port that is taken) is reported in its place, the rest goes on, and the
exit status is 1.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from bench import document
from bench.machine import in_words, load, machine_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[1]
# Many minutes each, in need of the image sets, or no part of the document.
ON_DEMAND = (
    "decoders",
    "audit_trail",
    "outside",
    "views",
    "means",
    "quality",
    "copies",
    "chaos",
    "memory",
    "migrations",
)


class _Benchmark(Protocol):
    def run(self, *, quick: bool) -> str:
        """Return a section in Markdown."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, the sections of the document by default.

    Returns:
        The exit status: 1 where one of them could not run.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"what to measure: {', '.join(document.SECTIONS)}; or {', '.join(ON_DEMAND)}",
    )
    parser.add_argument("--quick", action="store_true", help="repeat less often")
    parser.add_argument("--render", action="store_true", help="measure nothing, only write")
    parser.add_argument("--into", type=Path, help="folder of the document (docs; quick: var/bench)")
    chosen = parser.parse_args(arguments)
    unknown = set(chosen.names) - {*document.SECTIONS, *ON_DEMAND}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    folder: Path = chosen.into or ROOT / ("var/bench" if chosen.quick else "docs")
    page = folder / "performance.md"
    print(f"{in_words(machine_facts())}, load {load()}", flush=True)
    well = True
    names = () if chosen.render else chosen.names or document.SECTIONS
    for name in names:
        began = time.perf_counter()
        if name in document.SECTIONS:
            well &= _measure(name, page, quick=chosen.quick)
        else:
            well &= _print(name, quick=chosen.quick)
        print(f"({name} took {time.perf_counter() - began:.0f} s; load now {load()})", flush=True)
    if chosen.render or set(names) & {*document.SECTIONS}:
        document.write_document(page)
        print(f"Written: {page}")
    return int(not well)


def _measure(name: str, page: Path, *, quick: bool) -> bool:
    well = document.measure_into(page.with_suffix(""), name, quick=quick)
    if not well:
        print(f"{name}: not measured; the document says why.", file=sys.stderr)
    return well


def _print(name: str, *, quick: bool) -> bool:
    try:
        benchmark = cast("_Benchmark", importlib.import_module(f"bench.{name}"))
        print(f"\n{benchmark.run(quick=quick)}\n", flush=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are wanted
        traceback.print_exc()
        print(f"\n## {name}\n\nNot measured: {type(error).__name__}: {error}\n", flush=True)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
