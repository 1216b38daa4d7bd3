"""The same network through every engine; the engines take turns, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.charts import Bar, bar_chart
from bench.runners import ENGINES, PEAK, VARIANTS, peak_operations
from bench.turns import EngineMissingError, running, start
from mlcore.bundle import latest, load_release

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.turns import Runner

BATCHES = (1, 8, 32)
_OURS, _PREDICT = "LiteRT", "model.predict"
_PEERS = ("ONNX Runtime", "OpenVINO")
# Runs of one turn by batch: a turn is long enough to be undisturbed, short enough to be fair.
_RUNS = {1: 10, 8: 3, 32: 2}


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure the newest release of both label sets.

    Args:
        quick: 3 turns instead of 9, one start instead of 3, and no variants.

    Returns:
        ``releases``, each with ``engines`` (``ms`` an image by batch, ``first_answer_s``, ``mib``
        after one image and after all), ``against`` (how many times as long as LiteRT, by engine and
        batch), ``variants``, ``parity``, ``missing``, ``operations`` and ``peak_gflops``.
    """
    found = []
    for key in ("isic9", "clinical5"):
        with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as folder:
            found.append(_of_release(latest(key), Path(folder), quick=quick))
    return {"releases": found}


def _of_release(folder: Path, made: Path, *, quick: bool) -> dict[str, Any]:
    release = load_release(folder)
    _convert(folder, made)
    facts = json.loads((made / "facts.json").read_text(encoding="utf-8"))
    turns = 3 if quick else 9
    with running([*ENGINES, PEAK], folder, made) as (runners, missing):
        for batch in BATCHES:
            _take_turns(runners, batch, turns)
    peak = next((one for one in runners if one.name == PEAK), None)
    engines = [one for one in runners if one.name != PEAK]
    return {
        "key": release.key,
        "version": release.version,
        "side": release.input_side,
        "operations": facts["operations"],
        "peak_gflops": _peak_gflops(peak),
        "parity": facts["parity"],
        "missing": facts["missing"] | missing,
        "engines": {one.name: _facts(one, folder, made, quick=quick) for one in engines},
        "against": _against(engines),
        "variants": {} if quick else _variants(folder, made),
    }


def _convert(folder: Path, made: Path) -> None:
    """Convert in a process of its own, which needs TensorFlow."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.conversions", str(folder), str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        msg = f"The conversions failed: {done.stderr[-500:]}"
        raise RuntimeError(msg)


def _take_turns(runners: Sequence[Runner], batch: int, turns: int) -> None:
    for turn in range(turns):
        # Nobody follows the same one every time, or always comes first.
        first = turn % len(runners)
        for one in [*runners[first:], *runners[:first]]:
            # What was compiled or allocated for the batch before is not counted.
            one.turn(batch, _RUNS[batch], warm=2)


def _facts(one: Runner, folder: Path, made: Path, *, quick: bool) -> dict[str, Any]:
    starts = [one.first_answer_s]
    if not quick:
        for _ in range(2):
            again = start(one.name, folder, made)
            again.process.communicate()
            starts.append(again.first_answer_s)
    return {
        "ms": {str(batch): round(one.image_ms(batch), 3) for batch in BATCHES},
        "first_answer_s": float(np.median(starts)),
        "mib": one.mib,
    }


def _against(engines: Sequence[Runner]) -> dict[str, dict[str, float]]:
    """Return how many times as long as LiteRT each takes: the median over the turns."""
    ours = next(one for one in engines if one.name == _OURS)
    return {
        one.name: {
            str(batch): round(
                float(np.median(np.divide(one.medians[batch], ours.medians[batch]))), 3
            )
            for batch in BATCHES
        }
        for one in engines
        if one is not ours
    }


def _peak_gflops(peak: Runner | None) -> float | None:
    if peak is None:
        return None
    fastest = min(min(times) for times in peak.times.values())
    return round(peak_operations() / fastest / 1e6, 1)


def _variants(folder: Path, made: Path) -> dict[str, Any]:
    """Return how each variant compares with what is shipped, one beside the other."""
    found: dict[str, Any] = {}
    for name in VARIANTS:
        batches = (1,) if "compiled" in name else (1, 8)
        try:
            with running([_OURS, name], folder, made) as (pair, missing):
                for batch in batches if not missing else ():
                    _take_turns(pair, batch, 5)
        except EngineMissingError as error:
            missing = {name: str(error)}
        if missing:
            found[name] = {"missing": missing[name]}
            continue
        ours, other = pair
        found[name] = {
            "faster": {
                str(batch): round(
                    float(np.median(np.divide(ours.medians[batch], other.medians[batch]))), 3
                )
                for batch in batches
            },
            "mib": other.mib[1],
        }
    return found


def values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of the targets: of the release that does worse."""
    worst: dict[str, float] = {}
    for release in found["releases"]:
        against = release["against"]
        peers = [against[name] for name in _PEERS if name in against]
        rows = {"engine_predict": against[_PREDICT]["1"]} if _PREDICT in against else {}
        if peers:
            rows["engine_best_1"] = min(peer["1"] for peer in peers)
            rows["engine_best_32"] = min(peer["32"] for peer in peers)
        for key, value in rows.items():
            worst[key] = min(value, worst.get(key, value))
    return worst


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    lines = [
        "## Engine",
        "",
        (
            "Milliseconds an image (images/s) at batch 1, 8 and 32: medians over turns. Cold start "
            "is from the start of the process to its first answer; memory is resident, after one "
            "image and after all batches. The greatest difference of a probability is from Keras's "
            "on 24 drawn pictures; a release may differ by 1e-3."
        ),
    ]
    for release in found["releases"]:
        lines += ["", *_of(release)]
    return "\n".join(lines)


def _of(release: Mapping[str, Any]) -> list[str]:
    key, peak = release["key"], release["peak_gflops"]
    share = ""
    lines = [
        (
            f"### {key} {release['version']}, {release['side']} px, "
            f"{release['operations'] / 1e6:.0f} million floating-point operations an image"
        ),
        "",
        f"![Milliseconds an image at batch 1](performance/engines-{key}.svg)",
        "",
        (
            "| engine | batch 1 | batch 8 | batch 32 | LiteRT is faster by (1 / 8 / 32) | "
            "share of the peak (batch 8) | cold start | memory | greatest difference |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, facts in release["engines"].items():
        cells = [f"{facts['ms'][str(b)]:.1f} ({1e3 / facts['ms'][str(b)]:.0f})" for b in BATCHES]
        against, parity = release["against"].get(name), release["parity"].get(name)
        faster = " / ".join(f"{against[str(b)]:.2f}" for b in BATCHES) + " ×" if against else "–"
        if peak:
            share = f"{release['operations'] / facts['ms']['8'] / peak / 1e4:.0f} %"
        lines.append(
            f"| {name} | {' | '.join(cells)} | {faster} | {share or '–'} "
            f"| {facts['first_answer_s']:.1f} s "
            f"| {facts['mib'][0]:.0f}, {facts['mib'][1]:.0f} MiB "
            f"| {format(parity['probability'], '.1e') if parity else '–'} |"
        )
    if peak:
        lines += ["", f"The machine's measured float32 peak: {peak:.0f} GFLOP/s (a product of two "]
        lines[-1] += "squares of 1 536, best run)."
    lines += [f"\n{name} could not be measured: {why}" for name, why in release["missing"].items()]
    if release["variants"]:
        lines += ["", *_tried(release)]
    return lines


def _tried(release: Mapping[str, Any]) -> list[str]:
    lines = [
        (
            "Other ways to run LiteRT, against what is shipped (a thread for each core, tensors "
            "written in place), two and two in turns; probabilities compared with Keras:"
        ),
        "",
        "| tried | as fast as shipped, batch 1 / 8 | memory | greatest difference | same answer |",
        "|---|---|---|---|---|",
    ]
    for name, facts in release["variants"].items():
        if "missing" in facts:
            lines.append(f"| {name} | cannot run: {facts['missing'].replace('|', '/')} | | | |")
            continue
        faster = " / ".join(f"{value:.2f}" for value in facts["faster"].values())
        parity = release["parity"].get(name, release["parity"].get(_OURS))
        lines.append(
            f"| {name} | {faster} × | {facts['mib']:.0f} MiB | {parity['probability']:.1e} "
            f"| {parity['same_first'] * 100:.0f} % |"
        )
    return lines


def plots(found: Mapping[str, Any]) -> dict[str, str]:
    """Return a drawing for each release."""
    return {
        f"engines-{release['key']}.svg": bar_chart(
            f"engines-{release['key']}",
            f"{release['key']}: milliseconds an image at batch 1",
            [
                Bar(name, facts["ms"]["1"], ours=name == _OURS)
                for name, facts in release["engines"].items()
            ],
            unit=" ms",
        )
        for release in found["releases"]
    }
