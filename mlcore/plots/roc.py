"""ROC curves, one small field each."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, Frame, dot, drawing, percent, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcore.labels import LabelSet

_COLUMN, _ROW, _SIDE = 174.0, 178.0, 126.0
_HALVES = [(0.0, "0"), (0.5, "50"), (1.0, "100")]


def roc_plot(facts: Mapping[str, Any], labels: LabelSet, *, name: str, where: str) -> Plot | None:
    """Return the ROC curves of malignant against benign and of each label against the rest.

    Args:
        facts: figures of a split, as :func:`mlcore.evaluate.evaluate` returns them.
        labels: the label set.
        name: of the plot.
        where: what was measured, in words.

    Returns:
        None where no curve is defined.
    """
    overall = facts["figures"].get("malignant_auc", {})
    curves = [("Malignant or pre-malignant", facts["roc"]["malignant"], overall)]
    for label in labels.labels:
        row = facts["labels"][label.key]
        figure = {"value": row["auc"], "interval": row.get("auc_interval")}
        curves.append((label.name, facts["roc"]["labels"].get(label.key), figure))
    curves = [curve for curve in curves if curve[1]]
    if not curves:
        return None
    point = facts.get("operating_point", {})
    parts = []
    for n, (title, points, figure) in enumerate(curves):
        left, top = 26 + n % 2 * _COLUMN, 28 + n // 2 * _ROW
        frame = Frame(left, top, _SIDE, _SIDE)
        parts.append(text(left - 24, top - 10, title))
        parts.append(frame.axes(_HALVES, _HALVES))
        parts.append(frame.line([(0, 0), (1, 1)], class_="plot-soft", stroke_dasharray="4 3"))
        curve = [(float(x), float(y)) for x, y in points]
        parts.append(frame.line(curve, class_="plot-main", stroke_width=2))
        right, bottom = left + _SIDE - 4, top + _SIDE
        if figure.get("value") is not None:
            parts.append(text(right, bottom - 20, f"AUC {figure['value']:.2f}", anchor="end"))
        if figure.get("interval"):
            words = "{:.2f} to {:.2f}".format(*figure["interval"])
            parts.append(text(right, bottom - 7, words, anchor="end", class_="plot-soft"))
        if n == 0 and facts["roc"]["malignant"] and _defined(point):
            x, y = frame.at(
                1 - point["malignant_specificity"]["value"], point["malignant_sensitivity"]["value"]
            )
            parts.append(dot(x, y, 4.5, class_="plot-second"))
    rows = (len(curves) + 1) // 2
    bottom = rows * _ROW + 22
    parts.append(
        text(
            WIDTH / 2,
            bottom,
            "Across: false alarms in %. Upward: sensitivity in %.",
            anchor="middle",
        )
    )
    title = f"ROC curves, {where}"
    description = (
        "Sensitivity against false alarms of the score for malignant or pre-malignant and of each "
        "label against the rest; the dashed line is guessing."
    )
    if _defined(point):
        description += (
            " The dot is the triage threshold as shipped: sensitivity "
            f"{percent(point['malignant_sensitivity']['value'])}, specificity "
            f"{percent(point['malignant_specificity']['value'])}."
        )
    table = Table(
        ("Against the rest", "AUC", "95 % interval", "sensitivity at 10 % false alarms"),
        tuple(
            (
                title_of,
                "–" if figure.get("value") is None else f"{figure['value']:.3f}",
                _range(figure),
                percent(_height_at(points, 0.1)),
            )
            for title_of, points, figure in curves
        ),
    )
    svg = drawing(name, bottom + 8, title, description, *parts)
    return Plot(name, title, description, svg, table, bottom + 8)


def _defined(point: Mapping[str, Any]) -> bool:
    keys = ("malignant_sensitivity", "malignant_specificity")
    return all(point.get(key, {}).get("value") is not None for key in keys)


def _range(figure: Mapping[str, Any]) -> str:
    pair = figure.get("interval")
    return "{:.3f} to {:.3f}".format(*pair) if pair else "–"


def _height_at(points: list[list[float]], x: float) -> float:
    """Return the height of a curve at a place, between points on the straight line."""
    for (x0, y0), (x1, y1) in pairwise(points):
        if x0 <= x < x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    return points[-1][1]
