"""What must be reached, and what is aimed at: the table that docs/performance.md begins with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Target:
    """One row.

    Attributes:
        section: whose results hold the value.
        words: what is measured.
        must: the bound.
        aim: the wished-for value.
        unit: written after a value.
        at_least: whether more is better.
    """

    section: str
    words: str
    must: float
    aim: float
    unit: str = " ×"
    at_least: bool = False

    def reached(self, value: float, bound: float) -> bool:
        """Tell whether a value is within a bound."""
        return value >= bound if self.at_least else value <= bound


TARGETS = {
    "engine_predict": Target(
        "engines", "Engine, batch 1: times as fast as `model.predict`", 8, 13, at_least=True
    ),
    "engine_best_1": Target(
        "engines",
        "Engine, batch 1: speed against the better of ONNX Runtime and OpenVINO in 32 bits",
        0.9,
        1.0,
        at_least=True,
    ),
    "engine_best_32": Target(
        "engines",
        "Engine, batch 32: speed against the better of ONNX Runtime and OpenVINO in 32 bits",
        0.9,
        1.0,
        at_least=True,
    ),
    "worker_engine": Target(
        "worker", "Worker: images/s against the raw engine", 0.85, 0.95, at_least=True
    ),
    "flask": Target(
        "visit", "End to end: requests/s against the Flask prototype", 5, 10, at_least=True
    ),
    "answer": Target("visit", "Upload to visible answer, idle, 1 megapixel, p95", 600, 300, " ms"),
    "saturated": Target("visit", "Web answers while the worker is saturated, p95 to idle", 2, 1.3),
    "worker_start": Target("worker", "Worker: start to first answer", 3, 1, " s"),
    "worker_memory": Target("worker", "Worker: resident memory", 300, 180, " MB"),
    "history_growth": Target(
        "history",
        "Worklist, history, search: time at 1 000 000 predictions to 1 000, worst page",
        1.5,
        1.1,
    ),
    "history_ms": Target(
        "history",
        "Worklist, history, search: server time at 1 000 000 predictions, worst page",
        60,
        60,
        " ms",
    ),
    "queries": Target("history", "Queries per page, independent of rows, most", 12, 8, ""),
}


def table(values: Mapping[str, float]) -> str:
    """Return the table.

    Args:
        values: by the keys of :data:`TARGETS`; one that is missing was not measured.
    """
    lines = ["| measure | must | aim | measured | |", "|---|---|---|---|---|"]
    for key, target in TARGETS.items():
        sign = "≥" if target.at_least else "≤"
        bounds = f"| {sign} {target.must:g}{target.unit} | {sign} {target.aim:g}{target.unit} "
        lines.append(f"| {target.words} {bounds}| {_judged(target, values.get(key))} |")
    return "\n".join(lines)


def _judged(target: Target, value: float | None) -> str:
    if value is None:
        return "not measured | –"
    whole = target.unit in {" ms", " MB", ""}
    shown = f"**{value:.0f}{target.unit}**" if whole else f"**{value:.2f}{target.unit}**"
    if target.reached(value, target.aim):
        return f"{shown} | aim reached"
    return f"{shown} | {'reached' if target.reached(value, target.must) else 'MISSED'}"
