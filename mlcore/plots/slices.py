"""Figures of parts of a set, each with its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import Frame, dot, drawing, line, percent, percents, text

if TYPE_CHECKING:
    from collections.abc import Mapping

KIND_NAMES = {
    "sex": "Sex",
    "age_band": "Age in years",
    "site": "Body site",
    "source": "Source of the image",
}
_COLUMNS = (
    ("accuracy", "Accuracy, %", 122.0),
    ("malignant_sensitivity", "Sensitivity, %", 234.0),
)
_WIDTH, _ROW = 88.0, 17.0
_HALVES = [(0.0, "0"), (0.5, "50"), (1.0, "100")]


def slices_plot(facts: Mapping[str, Any], *, name: str = "slices") -> Plot | None:
    """Return accuracy and sensitivity by sex, age band, body site and source.

    Args:
        facts: as :func:`mlcore.evaluate.slices` returns them.
        name: of the plot.

    Returns:
        None where there is no slice.
    """
    kinds = {kind: facts["kinds"][kind] for kind in KIND_NAMES if facts["kinds"].get(kind)}
    if not kinds:
        return None
    parts: list[str] = []
    y = 30.0
    for kind, rows in kinds.items():
        y += 14
        parts.append(text(0, y, KIND_NAMES[kind], font_weight="600"))
        y += 4
        for row in rows:
            y += _ROW
            parts += _row(row, y)
        y += 8
    for _, words, left in _COLUMNS:
        frame = Frame(left, 30, _WIDTH, y - 30)
        parts.insert(0, frame.axes(_HALVES, []))
        parts.append(text(left, 14, words))
    where = facts["measured_on"]
    title = f"By sex, age, body site and source, {where}"
    description = (
        "Accuracy and sensitivity for malignant or pre-malignant lesions of parts of "
        f"{where}, with 95 % intervals. Nothing is said about fewer than 30 images."
    )
    table = Table(
        (
            "Part",
            "images",
            "malignant",
            "accuracy",
            "balanced accuracy",
            "sensitivity",
            "specificity",
            "AUC",
        ),
        tuple(
            (
                f"{KIND_NAMES[kind]}: {row['name']}",
                str(row["images"]),
                str(row["malignant"]),
                *_cells(row),
            )
            for kind, rows in kinds.items()
            for row in rows
        ),
    )
    svg = drawing(name, y + 22, title, description, *parts)
    return Plot(name, title, description, svg, table, y + 22)


def _row(row: Mapping[str, Any], y: float) -> list[str]:
    parts = [
        text(4, y, row["name"]),
        text(114, y, str(row["images"]), anchor="end", class_="plot-soft"),
    ]
    for key, _, left in _COLUMNS:
        figure = row["figures"][key]
        if figure["value"] is None:
            parts.append(text(left + 6, y, "too few to say", class_="plot-soft", font_size=9.5))
            continue
        frame = Frame(left, y - _ROW, _WIDTH, _ROW)
        middle = y - 3.5
        if figure["interval"]:
            low, high = (frame.at(bound, 0)[0] for bound in figure["interval"])
            parts.append(line(low, middle, high, middle, class_="plot-main", stroke_width=2))
        parts.append(dot(frame.at(figure["value"], 0)[0], middle, 3.5, class_="plot-main"))
    return parts


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    names = (
        "accuracy",
        "balanced_accuracy",
        "malignant_sensitivity",
        "malignant_specificity",
        "malignant_auc",
    )
    return tuple(_cell(row["figures"][name]) for name in names)


def _cell(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "too few to say"
    interval = f" ({percents(figure['interval'])})" if figure["interval"] else ""
    return f"{percent(figure['value'])}{interval}"
