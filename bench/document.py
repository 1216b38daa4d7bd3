"""Results as JSON, one file a section, and the document that is made of them.

A section is a module ``bench.<name>`` with

* ``measure(*, quick: bool) -> dict[str, Any]``: measures, and returns what ``json`` can keep;
* ``render(found) -> str``: the section's Markdown, beginning with its ``## `` heading;
* optionally ``values(found) -> dict[str, float]``: the values of the rows of
  :data:`bench.targets.TARGETS` that are its own;
* optionally ``plots(found) -> dict[str, str]``: SVG drawings by file name, which its Markdown shows
  as ``![words](performance/<file name>)``.

Rendering needs nothing but the results, so the document can be made again anywhere.
"""

from __future__ import annotations

import importlib
import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from bench.machine import in_words, load, machine_facts
from bench.targets import TARGETS, table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# In the order of the document.
SECTIONS = ("engines", "worker", "visit", "history", "intake", "training", "scale")
_HEAD = """# How fast it is

<!-- Made by `make bench` from docs/performance/*.json; a change by hand is lost. -->

Every ratio compares things that took turns in one run on one machine; figures of different
machines are not comparable. `make bench` measures again and writes this page,
`python -m bench worker` one section, `python -m bench --render` writes it again from the results
that are kept, and `python -m bench --quick` takes minutes and writes to `var/bench/`.
"""

_MISSED = """
## Where a bound is missed

**Worker against engine.** The engine's figure is the network alone with both cores to itself. For
each image the worker also claims it, reads its copy, checks its hash, decodes it and shrinks it to
the network's square, judges it, and stores and seals the answer, on the same two cores as
PostgreSQL; the table of stages says what each takes. Together that is nearly as much as the network
itself, and the faster a machine runs the network, the lower the ratio. A square cut at upload would
take reading and shrinking away from the worker, put them on web, and need a third more disk; that
is not done.

**Against the prototype.** It decodes a picture and calls the network, and that is all. Here a
picture is decoded in a process of its own with bounded memory, cut into three copies and hashed,
its sender is identified and their right to write checked, image, analysis and events are stored
in one transaction, a worker answers, and the answer is looked at on a page that is recorded too.
The shares above say which part takes what. Web's own Python takes most: it was 101 ms an image
before what is told below was done, on a slower machine.

**Server time of the lists.** It hardly depends on how many predictions there are: the slowest pages
at a million are the slowest at a thousand. It is the work of showing 25 rows, a form of a dozen
filters and the frame around them to somebody of five clinics: about half is templates, a third
building the queries in Python, a sixth PostgreSQL. Whoever works in one clinic waits a tenth less.

**Engine.** At batch 1 ONNX Runtime is up to a seventh faster on the smaller network and a
twentieth on the larger; at batch 8 and 32 the two are alike, and OpenVINO in 32 bits is slower
than LiteRT. Left as it comes, OpenVINO multiplies in 16 bits where a processor can (AMX, as here):
half of the time, and a probability moves by up to 0.037, where a release may differ by 0.001, so it
is not the same network and is told only beside the others. Figures measured before 13:19 on
2026-11-22 stood much lower (0.34 and 0.51, and 7.0 times `model.predict`) for this, and because the
threads of whoever had the turn before were still looking for work and took a core from LiteRT.
"""

_TRIED = """
## Tried

Paid, and shipped: the networks' lossless copy written without filter and compression (decoding it
for the network 0.40 ms instead of 5.74 ms, writing it 0.65 ms instead of 11.96 ms, for 410 kB
instead of 193 kB), its quality measured once and kept in it; tensors written in place; a batch
shared out among lanes of one core each and stored together; the next batch claimed while the one
before is computed, its columns set by one statement with an array each instead of `bulk_update`,
which took most of the time of storing (together 13.5 ms an image to 8.6 ms); the thumbnail cut from
the copy of 320 pixels instead of from the upload (11 ms to 3 ms); one connection to the broker kept
instead of one for each message; lists that ask once instead of twice what is hidden, join only what
they show (planning 6.7 ms to 2.3 ms), and render icons, badges and words once (the history's page
69 ms to 50 ms of processor time, one after the other on one machine that trained beside it); a
bound on how many orders of joins PostgreSQL weighs (the result page's planning 3.8 ms to 1.5 ms);
an index that answers for an old version's label alone (150 ms to 71 ms); patients who are few
looked up by key (a rare name 44 ms to 20 ms); two pictures at a time in each lane instead of four
(22 MiB less, for 6 % of the worker's images/s); NumPy kept to one core in the application: a second
thread of OpenBLAS looked for more work for 30 ms after each large product, on a core that the lanes
needed (118 to 156 images/s one after the other; web beside a full queue took 1.27 and 1.84 times
idle in two runs after it, where one before it said 1.81, so nothing can be said of that).

Did not pay: weights of 8 bits and all-integer networks (the tables of the engine say how far they
move a probability, against the 1e-3 that is allowed);
weights of 32 bits in the file (the same result from a file of twice the size); reading the lossless
copy without Pillow (0.24 ms instead of 0.29 ms, not worth a reader of our own); letting the
worker's threads take turns more often than every 5 ms (no difference); fewer arenas of the memory
allocator (3 MiB).

For training (176 pixels, batch 32), of which two thirds go into the gradients
of kernels: bfloat16 by policy (0.5 ×) or by TensorFlow's rewriting (0.6 ×), because it has no fast
gradient of strided depthwise convolutions in 16 bits; oneDNN's 16-bit arithmetic mode (1.0 to
1.1 ×); convolutions of one pixel as products of matrices (1.0 ×); normalisation folded into the
kernels (1.1 ×, for another network to keep in step); batches of 16 and 64, other numbers of
threads, huge pages and other bounds of the allocator (0.8 to 1.0 ×); XLA (0.06 ×).
"""


class Section(Protocol):
    """A module that measures one part and tells of it."""

    def measure(self, *, quick: bool) -> dict[str, Any]:
        """Measure."""

    def render(self, found: Mapping[str, Any]) -> str:
        """Return Markdown."""


def section(name: str) -> Section:
    """Return the module of a section."""
    return cast("Section", importlib.import_module(f"bench.{name}"))


def measure_into(folder: Path, name: str, *, quick: bool) -> bool:
    """Measure a section and keep its results; what cannot run is kept as the reason why.

    A result that is there is not lost for it: the reason is kept beside it.

    Returns:
        Whether it could be measured.
    """
    kept: dict[str, Any] = {
        "section": name,
        "quick": quick,
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"),
        "machine": machine_facts(),
        "load_before": load(),
    }
    began = time.perf_counter()
    try:
        kept["found"] = section(name).measure(quick=quick)
    except Exception as error:  # noqa: BLE001 - whatever it is, the other figures are wanted
        kept["error"] = f"{type(error).__name__}: {error}"
    kept |= {"seconds": round(time.perf_counter() - began, 1), "load_after": load()}
    folder.mkdir(parents=True, exist_ok=True)
    measured = "error" not in kept
    before = None if measured else _kept(folder / f"{name}.json")
    if before is not None and "found" in before:
        kept = before | {"failed": {"when": kept["when"], "error": kept["error"]}}
    text = json.dumps(kept, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return measured


def write_document(path: Path) -> None:
    """Write the document from the results beside it, in the folder of its name without suffix."""
    folder = path.with_suffix("")
    values: dict[str, float] = {}
    parts: list[str] = []
    for name in SECTIONS:
        kept = _kept(folder / f"{name}.json")
        if kept is not None and "found" in kept:
            values |= _optional(name, "values", kept["found"])
        parts.append(_part(folder, name, kept))
    unknown = values.keys() - TARGETS.keys()
    if unknown:
        msg = f"No target is called {', '.join(sorted(unknown))}."
        raise ValueError(msg)
    whole = [_HEAD, "## What must be reached\n", table(values), *parts, _MISSED, _TRIED]
    path.write_text("\n".join(whole) + "\n", encoding="utf-8")


def _part(folder: Path, name: str, kept: Mapping[str, Any] | None) -> str:
    if kept is None:
        return f"\n## {name.capitalize()}\n\nNot measured yet: `python -m bench {name}`."
    if "found" not in kept:
        return f"\n## {name.capitalize()}\n\nNot measured: {kept['error']}\n\n{_told_of(kept)}"
    for file, svg in _optional(name, "plots", kept["found"]).items():
        (folder / file).write_text(svg, encoding="utf-8")
    return f"\n{section(name).render(kept['found'])}\n\n{_told_of(kept)}"


def _told_of(kept: Mapping[str, Any]) -> str:
    """Return when and on what a section was measured."""
    failed = kept.get("failed")
    again = f" Measuring it again on {failed['when']} failed: {failed['error']}." if failed else ""
    return (
        f"<sub>{kept['when']} UTC, {'quick, ' if kept['quick'] else ''}{kept['seconds']:.0f} s, "
        f"load {kept['load_before']} before and {kept['load_after']} after; "
        f"{in_words(kept['machine'])}.{again}</sub>"
    )


def _kept(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return kept


def _optional(name: str, what: str, found: Mapping[str, Any]) -> dict[str, Any]:
    function = cast(
        "Callable[[Mapping[str, Any]], dict[str, Any]] | None",
        getattr(section(name), what, None),
    )
    return function(found) if function is not None else {}
