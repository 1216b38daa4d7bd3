"""Bars and lines for the document, drawn like the plots of a release."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlcore.plots.svg import WIDTH, Frame, dot, drawing, standalone, tag, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LEFT, _RIGHT, _TOP, _ROW = 128.0, 62.0, 26.0, 17.0
_SERIES = ("plot-main", "plot-second", "plot-soft")


@dataclass(frozen=True)
class Bar:
    """One bar; ``ours`` stands out."""

    words: str
    value: float
    ours: bool = True


def bar_chart(name: str, title: str, bars: Sequence[Bar], *, unit: str = "") -> str:
    """Return horizontal bars from zero as an SVG file.

    Args:
        name: makes the drawing's ids its own.
        title: what the bars are.
        bars: from top to bottom.
        unit: written after each value.
    """
    most = max((bar.value for bar in bars), default=0.0) or 1.0
    parts = [text(0, 13, title)]
    for place, bar in enumerate(bars):
        y = _TOP + place * _ROW
        width = max(0.5, bar.value / most * (WIDTH - _LEFT - _RIGHT))
        parts.append(text(_LEFT - 6, y + 10, bar.words, anchor="end"))
        parts.append(
            tag(
                "rect",
                x=_LEFT,
                y=y + 1,
                width=width,
                height=_ROW - 5,
                fill="currentColor",
                class_="plot-main" if bar.ours else "plot-soft",
            )
        )
        parts.append(text(_LEFT + width + 4, y + 10, f"{short(bar.value)}{unit}"))
    said = "; ".join(f"{bar.words}: {short(bar.value)}{unit}" for bar in bars)
    height = _TOP + len(bars) * _ROW + 4
    return standalone(drawing(name, height, title, said, *parts))


def line_chart(
    name: str,
    title: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    *,
    x_name: str,
    y_name: str,
    logarithmic: bool = False,
) -> str:
    """Return up to three lines with a dot at each value as an SVG file.

    Args:
        name: makes the drawing's ids its own.
        title: what the lines are.
        series: (x, y) by the name of the line; x ascending.
        x_name: under the field.
        y_name: above its left edge.
        logarithmic: draw x as its decimal logarithm, for rows from a thousand to a million.

    Raises:
        ValueError: more than three lines, or none.
    """
    if not 0 < len(series) <= len(_SERIES):
        msg = f"A chart has one to {len(_SERIES)} lines, not {len(series)}."
        raise ValueError(msg)
    at = math.log10 if logarithmic else float
    places = sorted({x for points in series.values() for x, _ in points})
    most = max(y for points in series.values() for _, y in points) * 1.1 or 1.0
    low, high = at(places[0]), at(places[-1])
    frame = Frame(44, 44, WIDTH - 64, 170, (low, high if high > low else low + 1), (0, most))
    steps = [most * part / 4 for part in range(5)]
    parts = [
        text(0, 13, title),
        frame.axes(
            [(at(x), f"{x:,.0f}".replace(",", " ")) for x in places],
            [(y, short(y)) for y in steps],
            x_name=x_name,
            y_name=y_name,
        ),
    ]
    for (words, points), kind, row in zip(series.items(), _SERIES, range(3), strict=False):
        drawn = [(at(x), y) for x, y in points]
        parts.append(frame.line(drawn, class_=kind, stroke_width=1.5))
        parts += [dot(*frame.at(x, y), 2.5, class_=kind) for x, y in drawn]
        parts.append(dot(52, 262 + row * 14, 3.5, class_=kind))
        parts.append(text(60, 265.5 + row * 14, words))
    said = "; ".join(
        f"{words}: " + ", ".join(f"{x:g} gives {short(y)}" for x, y in points)
        for words, points in series.items()
    )
    return standalone(drawing(name, 262 + len(series) * 14, title, said, *parts))


def short(value: float) -> str:
    """Return a value with about three figures."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 3)}f}"
