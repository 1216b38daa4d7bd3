"""Shapes that the figures page is drawn with: months side by side, and rows below each other.

Everything is drawn by :mod:`mlcore.plots.svg`: classes for colours, no style attribute, so that a
drawing follows the page's theme under its content security policy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, Frame, dot, drawing, line, quarters, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from classifier.selectors.rates import Share

MAIN, SECOND, SOFT = "plot-main", "plot-second", "plot-soft"
_LEFT, _TOP, _HEIGHT = 42.0, 40.0, 130.0
_WIDE = WIDTH - _LEFT - 8
_MOST_NAMES = 7
_ROW = 17.0
_LETTERS = 24


@dataclass(frozen=True)
class Words:
    """What is said of a plot.

    Attributes:
        name: part of its ids.
        title: what it is.
        description: what it shows, in words.
    """

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Series:
    """Something that was measured in every month.

    Attributes:
        label: what it is called beside the drawing.
        tone: its class: its colour, and with it its shape.
        values: one a month; None where there is nothing or too little to say.
        spans: lower and upper end of a line through each value, or nothing.
    """

    label: str
    tone: str
    values: Sequence[float | None]
    spans: Sequence[tuple[float, float] | None]

    @classmethod
    def of_shares(cls, label: str, tone: str, shares: Sequence[Share]) -> Series:
        """Return shares with their intervals."""
        return cls(label, tone, [one.value for one in shares], [one.interval for one in shares])


@dataclass(frozen=True)
class Times:
    """Times below each other, one for each row of a plot.

    Attributes:
        label: above the column.
        size: seconds of the unit that they are drawn in.
        values: median and 95th percentile in seconds; None where there is too little to say.
    """

    label: str
    size: float
    values: Sequence[tuple[float, float] | None]


@dataclass(frozen=True)
class Column:
    """Shares below each other, one for each row of a plot.

    Attributes:
        label: above the column.
        shares: one a row.
    """

    label: str
    shares: Sequence[Share]


def plot_of(words: Words, height: float, parts: Sequence[str], table: Table) -> Plot:
    """Return a drawing with its words and its table."""
    svg = drawing(words.name, height, words.title, words.description, *parts)
    return Plot(words.name, words.title, words.description, svg, table, height)


def stacked_months(
    words: Words,
    months: Sequence[date],
    stacks: Sequence[tuple[str, str, Sequence[int]]],
    table: Table,
) -> Plot:
    """Return bars, one a month, of parts that stand on each other.

    Args:
        words: of the plot.
        months: oldest first.
        stacks: (label, tone, count of each month), the lowest part first.
        table: the same in figures.
    """
    totals = [sum(column) for column in zip(*(counts for _l, _t, counts in stacks), strict=True)]
    frame, parts = _field(months, max([*totals, 1]), _whole_ticks)
    bases = [0] * len(months)
    for label, tone, counts in stacks:
        for place, amount in enumerate(counts):
            left, top = frame.at(place + 0.2, bases[place] + amount)
            right, bottom = frame.at(place + 0.8, bases[place])
            bases[place] += amount
            if amount:
                shade = 0.85 if tone == MAIN else 0.55
                box = {"x": left, "y": top, "width": right - left, "height": bottom - top}
                parts.append(
                    tag("rect", **box, fill="currentColor", fill_opacity=shade, class_=tone)
                )
        del label
    parts += legend([(label, tone) for label, tone, _counts in stacks])
    return plot_of(words, _TOP + _HEIGHT + 22, parts, table)


def dotted_months(
    words: Words,
    months: Sequence[date],
    series: Sequence[Series],
    table: Table,
    *,
    unit: str = "",
    y_name: str = "",
) -> Plot:
    """Return dots with lines through them, one of each series a month.

    Args:
        words: of the plot.
        months: oldest first.
        series: what is drawn; shares of 0 to 1 where there is no unit.
        table: the same in figures.
        unit: what the values are counted in; none for shares.
        y_name: of the upward axis.
    """
    if unit:
        ends = [span[1] for one in series for span in one.spans if span]
        known = [value for one in series for value in one.values if value is not None]
        frame, parts = _field(months, max([*ends, *known], default=0) or 1, _unit_ticks(unit))
    else:
        ends = [span[1] for one in series for span in one.spans if span]
        frame, parts = _field(months, max([*ends, 0.01]), _share_ticks)
    for number, one in enumerate(series):
        shift = 0.5 + (number - (len(series) - 1) / 2) * 0.24
        for place, (value, span) in enumerate(zip(one.values, one.spans, strict=True)):
            if value is not None:
                parts += mark(frame, place + shift, value, span, one.tone)
    if not any(value is not None for one in series for value in one.values):
        parts.append(too_few(frame))
    parts += legend([(one.label, one.tone) for one in series])
    if y_name:
        parts.append(text(_LEFT, _TOP - 8, y_name, class_=SOFT))
    return plot_of(words, _TOP + _HEIGHT + 22, parts, table)


def bars(words: Words, rows: Sequence[tuple[str, int]], table: Table) -> Plot:
    """Return lying bars with their names above and their counts behind them."""
    most = max([count for _name, count in rows] + [1])
    parts: list[str] = []
    y = 0.0
    for name, count in rows:
        y += 26
        parts.append(text(0, y - 11, name))
        length = (WIDTH - 46) * count / most
        parts.append(
            tag("rect", x=0, y=y - 7, width=max(length, 1), height=8, rx=2, fill="currentColor",
                fill_opacity=0.85, class_=MAIN)
        )  # fmt: skip
        parts.append(text(max(length, 1) + 5, y + 1, str(count), class_=SOFT))
    return plot_of(words, y + 10, parts, table)


def compared_rows(
    words: Words,
    rows: Sequence[tuple[str, int]],
    columns: Sequence[Column],
    table: Table,
) -> Plot:
    """Return shares with their intervals, a row for each part of the images.

    Args:
        words: of the plot.
        rows: (name, how many images).
        columns: two, with a share for each row.
        table: the same in figures.
    """
    ticks = [(0.0, "0"), (0.5, "50"), (1.0, "100")]
    marks = [
        (one.label, 1.0, ticks, [(share.value, share.interval) for share in one.shares])
        for one in columns
    ]
    return _rows_of_marks(words, rows, marks, table)


def waited_rows(
    words: Words, rows: Sequence[tuple[str, int]], columns: Sequence[Times], table: Table
) -> Plot:
    """Return medians with lines up to the 95th percentile, a row for each part of the images.

    Args:
        words: of the plot.
        rows: (name, how many images).
        columns: two, with times for each row.
        table: the same in figures.
    """
    marks: list[_Marks] = []
    for one in columns:
        steps = _steps(max([times[1] / one.size for times in one.values if times] + [0.0]) or 1)
        ticks = [(step, f"{step:g}") for step in (0.0, steps[-1])]
        scaled = [
            (times[0] / one.size, (times[0] / one.size, times[1] / one.size))
            if times
            else (None, None)
            for times in one.values
        ]
        marks.append((one.label, steps[-1], ticks, scaled))
    return _rows_of_marks(words, rows, marks, table)


def _rows_of_marks(
    words: Words, rows: Sequence[tuple[str, int]], columns: Sequence[_Marks], table: Table
) -> Plot:
    parts: list[str] = []
    lefts, width = (158.0, 254.0), 72.0
    height = 26 + _ROW * len(rows)
    for number, (name, images) in enumerate(rows):
        y = 20 + _ROW * (number + 1)
        parts.append(text(0, y, _short(name)))
        parts.append(text(148, y, str(images), anchor="end", class_=SOFT))
        for left, (_label, top, _ticks, marks) in zip(lefts, columns, strict=True):
            frame = Frame(left, y - _ROW, width, _ROW, across=(0, top))
            parts += _row_mark(frame, *marks[number])
    for left, (label, top, ticks, _marks) in zip(lefts, columns, strict=True):
        frame = Frame(left, 20, width, height - 20, across=(0, top))
        parts.insert(0, frame.axes(ticks, []))
        parts.append(text(left, 12, label))
    return plot_of(words, height + 18, parts, table)


def _row_mark(frame: Frame, value: float | None, span: tuple[float, float] | None) -> list[str]:
    middle = frame.top + _ROW - 3.5
    if value is None or span is None:
        words = _("too few to say")
        return [text(frame.left + 4, middle + 3.5, words, class_=SOFT, font_size=9.5)]
    low, high = (frame.at(bound, 0)[0] for bound in span)
    return [
        line(low, middle, high, middle, class_=MAIN, stroke_width=2),
        dot(frame.at(value, 0)[0], middle, 3.5, class_=MAIN),
    ]


def too_few(frame: Frame, across: float = 0.5, down: float = 0.5) -> str:
    """Return the words for a field that has no mark in it; in its middle unless said otherwise."""
    x, y = frame.left + frame.width * across, frame.top + frame.height * down
    return text(x, y, _("Too few to say"), anchor="middle", class_=SOFT)


def mark(
    frame: Frame, place: float, value: float, span: tuple[float, float] | None, tone: str
) -> list[str]:
    """Return a dot (or, for the second colour, a square) with the line through it.

    Args:
        frame: the field that it stands in.
        place: across.
        value: upward.
        span: lower and upper end of the line, or None.
        tone: its class.
    """
    x, y = frame.at(place, value)
    parts = []
    if span:
        low, high = (frame.at(0, bound)[1] for bound in span)
        parts.append(line(x, low, x, high, class_=tone, stroke_width=1.5))
        parts += [line(x - 3, end, x + 3, end, class_=tone) for end in (low, high)]
    return [*parts, _shape(x, y, tone)]


def _shape(x: float, y: float, tone: str) -> str:
    """Return a mark that can be told from the other without its colour."""
    if tone == MAIN:
        return dot(x, y, 3.5, class_=tone)
    return tag("rect", x=x - 3, y=y - 3, width=6, height=6, fill="currentColor", class_=tone)


def legend(names: Sequence[tuple[str, str]]) -> list[str]:
    """Return what the marks stand for, (label, tone) each, in a line above the field."""
    parts, x = [], 4.0
    for label, tone in names:
        parts += [_shape(x, 8, tone), text(x + 8, 11.5, label)]
        x += 24 + 6.4 * len(label)
    return parts


def _field(months: Sequence[date], highest: float, ticks_of: Ticks) -> tuple[Frame, list[str]]:
    """Return the field of a plot over months, and its axes."""
    top, ticks = ticks_of(highest)
    frame = Frame(_LEFT, _TOP, _WIDE, _HEIGHT, across=(0, len(months)), upward=(0, top))
    step = math.ceil(len(months) / _MOST_NAMES)
    parts = [frame.axes([], ticks)]
    for place in range(0, len(months), step):
        x, bottom = frame.at(place + 0.5, 0)
        name = date_format(months[place], "M")
        parts.append(text(x, bottom + 13, name, anchor="middle", class_=SOFT))
    return frame, parts


def _steps(highest: float) -> list[float]:
    """Return round numbers from 0 to the highest or the next one above it, about five."""
    rough = highest / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= rough)
    return [step * number for number in range(math.ceil(highest / step) + 1)]


def _whole_ticks(highest: float) -> tuple[float, list[tuple[float, str]]]:
    steps = [step for step in _steps(max(highest, 4)) if step == int(step)]
    return steps[-1], [(step, f"{step:.0f}") for step in steps]


def _share_ticks(highest: float) -> tuple[float, list[tuple[float, str]]]:
    """Return quarters of 100 %, or of 20 % where nothing is beyond."""
    top = 1.0 if highest > 0.2 else 0.2  # noqa: PLR2004 - told in the line above
    return top, [(top * place, f"{top * place:.0%}".replace("%", " %")) for place, _w in quarters()]


def _unit_ticks(unit: str) -> Ticks:
    def ticks(highest: float) -> tuple[float, list[tuple[float, str]]]:
        steps = _steps(highest)
        return steps[-1], [(step, f"{step:g} {unit}") for step in steps]

    return ticks


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"


if TYPE_CHECKING:
    from collections.abc import Callable

    Ticks = Callable[[float], tuple[float, list[tuple[float, str]]]]
    # A column's label, how far it reaches, its ticks, and of each row a value and its line.
    _Marks = tuple[
        str,
        float,
        list[tuple[float, str]],
        Sequence[tuple[float | None, tuple[float, float] | None]],
    ]
