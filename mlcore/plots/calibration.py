"""The reliability diagram and the risk-coverage curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import (
    WIDTH,
    Frame,
    area,
    dot,
    drawing,
    line,
    percent,
    percents,
    quarters,
    tag,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MIDDLE = 0.5


def reliability_plot(facts: Mapping[str, Any], error: Any, *, name: str, where: str) -> Plot:
    """Return a reliability diagram: how often an answer is right beside how sure it was.

    Args:
        facts: as :func:`mlcore.figures.calibration.reliability` returns them.
        error: the expected calibration error with its interval, or None.
        name: of the plot.
        where: what was measured, in words.
    """
    frame = Frame(42, 24, WIDTH - 62, 200)
    bins = facts["bins"]
    parts = [
        frame.axes(quarters(), quarters(), y_name="Share of right answers"),
        frame.line([(0, 0), (1, 1)], class_="plot-soft", stroke_dasharray="4 3"),
    ]
    counts = Frame(42, 264, WIDTH - 62, 46, upward=(0, max(row["images"] for row in bins)))
    parts.append(text(42, 258, "Images in each bin", class_="plot-soft"))
    for row in bins:
        x, y = frame.at(row["confidence"], row["accuracy"])
        low, high = (frame.at(row["confidence"], bound)[1] for bound in row["interval"])
        parts.append(line(x, low, x, high, class_="plot-main", stroke_width=1.5))
        parts.append(dot(x, y, 3.5, class_="plot-main"))
        left, top = counts.at(row["low"], row["images"])
        right, bottom = counts.at(row["high"], 0)
        bar = {"x": left + 0.5, "y": top, "width": right - left - 1, "height": bottom - top}
        parts.append(tag("rect", **bar, fill="currentColor", class_="plot-main"))
    parts.append(line(42, 310, WIDTH - 20, 310, class_="plot-grid"))
    parts.append(
        text(42 + (WIDTH - 62) / 2, 325, "Probability of the first answer", anchor="middle")
    )
    total = sum(row["images"] for row in bins)
    said = ""
    if error and error["value"] is not None:
        said = (
            f"Expected calibration error {error['value']:.3f}"
            + (" ({:.3f} to {:.3f})".format(*error["interval"]) if error["interval"] else "")
            + f"; {facts['expected_if_calibrated']:.3f} is to be expected by chance alone. "
        )
    title = f"Reliability, {where}"
    description = (
        f"{said}{total} images; {facts['binning']}. On the dashed line the probability is true; "
        "below it the network is too sure."
    )
    table = Table(
        ("Probability", "images", "mean probability", "right", "95 % interval"),
        tuple(
            (
                f"{row['low']:.2f} to {row['high']:.2f}",
                str(row["images"]),
                percent(row["confidence"]),
                percent(row["accuracy"]),
                percents(row["interval"]),
            )
            for row in bins
        ),
    )
    return Plot(
        name, title, description, drawing(name, 332, title, description, *parts), table, 332
    )


def risk_plot(
    rows: Sequence[Mapping[str, Any]],
    point: Mapping[str, Any] | None,
    *,
    name: str,
    where: str,
    counting: str,
) -> Plot:
    """Return a risk-coverage curve: how many answers are wrong if only the surest are given.

    Args:
        rows: of ``coverage``, ``risk`` and ``threshold``; those with an ``interval`` get a band.
        point: the operating point on the same images, or None.
        name: of the plot.
        where: what was measured, in words.
        counting: how: ``images count alike`` or ``labels count alike``.
    """
    rows = sorted((row for row in rows if row["risk"] is not None), key=lambda row: row["coverage"])
    highest = max(
        [row["risk"] for row in rows] + [(row.get("interval") or [0, 0])[1] for row in rows]
    )
    top = next((step for step in (0.1, 0.25, 0.5) if highest <= step), 1.0)
    frame = Frame(42, 24, WIDTH - 62, 190, upward=(0, top))
    ticks = [(top * step / 5, f"{top * step * 20:.0f} %") for step in range(6)]
    parts = [
        frame.axes(quarters(), ticks, x_name="Images that get an answer", y_name="Wrong answers")
    ]
    banded = [row for row in rows if row.get("interval")]
    if banded:
        edge = [frame.at(row["coverage"], row["interval"][0]) for row in banded]
        edge += [frame.at(row["coverage"], row["interval"][1]) for row in reversed(banded)]
        parts.append(area(edge, class_="plot-main", fill_opacity=0.18))
    curve = [(row["coverage"], row["risk"]) for row in rows]
    parts.append(frame.line(curve, class_="plot-main", stroke_width=2))
    said = ""
    if point and None not in (point["coverage"]["value"], point["accuracy_of_answers"]["value"]):
        coverage, risk = point["coverage"]["value"], 1 - point["accuracy_of_answers"]["value"]
        x, y = frame.at(coverage, min(risk, top))
        # Drawn to the side where the curve leaves room.
        side = "end" if coverage > _MIDDLE else "start"
        parts.append(dot(x, y, 4.5, class_="plot-second"))
        parts.append(
            text(
                x + (-8 if side == "end" else 8),
                y - 8,
                "as shipped",
                anchor=side,
                class_="plot-second",
            )
        )
        said = (
            f"As shipped, {percent(coverage)} of the images get an answer and {percent(risk)} of "
            "those are wrong. "
        )
    title = f"Risk and coverage, {where}"
    description = (
        f"{said}The fewer images get an answer, the surest first, the fewer of the answers are "
        f"wrong; {counting}."
    )
    table = Table(
        ("Answered", "threshold", "wrong", "95 % interval"),
        tuple(
            (
                percent(row["coverage"]),
                f"{row['threshold']:.3f}",
                percent(row["risk"]),
                percents(row.get("interval")),
            )
            for row in reversed(rows)
        ),
    )
    return Plot(
        name, title, description, drawing(name, 250, title, description, *parts), table, 250
    )
