"""The confusion matrix."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, drawing, percent, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEFT, _RIGHT, _TOP, _ROW = 102.0, 36.0, 34.0, 27.0
# Ink on the fullest cell still has the contrast that text needs, in both themes.
_FULLEST = 0.4
_LETTERS = 16
# Size of a font whose digits are one unit wide, less a little air.
_LETTER = 1.55


def confusion_plot(
    matrix: Sequence[Sequence[int]], names: Sequence[str], *, name: str, where: str
) -> Plot:
    """Return a confusion matrix: rows are the truth, columns the first answer.

    Args:
        matrix: (labels, labels) counts.
        names: of the labels.
        name: of the plot.
        where: what was measured, in words: ``test images``.
    """
    column = (WIDTH - _LEFT - _RIGHT) / len(names)
    parts = [
        text(_LEFT, 12, "First answer (numbers as in the rows)"),
        text(WIDTH, 12, "recall", anchor="end", class_="plot-soft"),
        text(0, 27, "Truth", class_="plot-soft"),
    ]
    for k in range(len(names)):
        x = _LEFT + (k + 0.5) * column
        parts.append(text(x, 27, str(k + 1), anchor="middle", class_="plot-soft"))
    for k, (row, label) in enumerate(zip(matrix, names, strict=True)):
        parts += _row(k, row, label, column)
    recalls = [row[k] / sum(row) if sum(row) else None for k, row in enumerate(matrix)]
    title = f"Confusion matrix, {where}"
    right = sum(row[k] for k, row in enumerate(matrix))
    description = (
        f"Of {sum(map(sum, matrix))} images {right} were given their own label first. Each row is "
        "a true label, each column a first answer; the stronger a cell's shade, the greater its "
        "share of the row."
    )
    table = Table(
        ("Truth", *(f"said {label.lower()}" for label in names), "recall"),
        tuple(
            (label, *(str(count) for count in row), percent(recall))
            for label, row, recall in zip(names, matrix, recalls, strict=True)
        ),
    )
    height = _TOP + _ROW * len(names) + 2
    return Plot(
        name, title, description, drawing(name, height, title, description, *parts), table, height
    )


def _row(k: int, row: Sequence[int], label: str, column: float) -> list[str]:
    top, total = _TOP + k * _ROW, sum(row)
    middle = top + _ROW / 2 + 3.5
    lines = textwrap.wrap(label, _LETTERS)
    parts = [text(0, middle, str(k + 1), class_="plot-soft")]
    for n, words in enumerate(lines):
        parts.append(text(13, middle + (n - (len(lines) - 1) / 2) * 11, words, font_size=9.5))
    for n, count in enumerate(row):
        x = _LEFT + n * column
        shade = _FULLEST * count / total if total else 0.0
        # The diagonal is framed: right answers are told by more than their shade.
        frame: dict[str, str | float] = (
            {"stroke": "currentColor", "stroke_width": 1.2} if n == k else {}
        )
        parts.append(
            tag(
                "rect",
                x=x + 1,
                y=top + 1,
                width=column - 2,
                height=_ROW - 2,
                rx=2,
                fill="currentColor",
                fill_opacity=shade,
                class_="plot-main",
                **frame,
            )
        )
        centre = x + column / 2
        if count:
            size = min(10.5, column / len(str(count)) * _LETTER)
            parts.append(text(centre, middle, str(count), anchor="middle", font_size=size))
        else:
            parts.append(text(centre, middle, "·", anchor="middle", class_="plot-soft"))
    parts.append(text(WIDTH, middle, percent(row[k] / total if total else None), anchor="end"))
    return parts
