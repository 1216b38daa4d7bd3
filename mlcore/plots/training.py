"""Training curves."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, Frame, dot, drawing, line, text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MOST_TICKS = 8
# Key in the history, what it is called, its class, its dashes.
_LOSSES = (
    ("train_loss", "training", "plot-second", "5 3"),
    ("loss", "validation", "plot-main", ""),
)
_SHARES = (
    ("accuracy", "accuracy", "plot-second", "5 3"),
    ("balanced_accuracy", "balanced accuracy", "plot-main", ""),
)


def training_plot(history: Sequence[Mapping[str, Any]], *, name: str = "training") -> Plot | None:
    """Return loss and accuracy by epoch.

    Args:
        history: a row an epoch, as a run notes them; what a row does not have is left out.
        name: of the plot.

    Returns:
        None where no epoch was noted.
    """
    rows = [row for row in history if any(key in row for key, *_ in _LOSSES + _SHARES)]
    if not rows:
        return None
    highest = max(
        [float(row[key]) for row in rows for key, *_ in _LOSSES if key in row], default=1.0
    )
    top = max(0.5, math.ceil(highest * 2) / 2)
    across = (1.0, float(max(len(rows), 2)))
    step = max(1, math.ceil(len(rows) / _MOST_TICKS))
    epochs = [(float(n), str(n)) for n in range(1, len(rows) + 1, step)]
    losses = Frame(42, 40, WIDTH - 62, 110, across=across, upward=(0, top))
    shares = Frame(42, 208, WIDTH - 62, 110, across=across)
    parts = [
        losses.axes(epochs, [(top * k / 2, f"{top * k / 2:g}") for k in range(3)]),
        shares.axes(epochs, [(k / 4, f"{k * 25} %") for k in range(5)], x_name="Epoch"),
        *_curves(losses, rows, _LOSSES, "Loss"),
        *_curves(shares, rows, _SHARES, "Validation"),
    ]
    # Epochs at a smaller input do not compete with those at the last one.
    last_side = rows[-1].get("side")
    scored = [n for n, row in enumerate(rows) if "score" in row and row.get("side") == last_side]
    best = max(scored, key=lambda n: (float(rows[n]["score"]), n), default=None)
    said = ""
    if best is not None:
        x, _ = shares.at(best + 1, 0)
        for frame in (losses, shares):
            ends = (frame.top, frame.top + frame.height)
            parts.append(line(x, ends[0], x, ends[1], class_="plot-soft", stroke_dasharray="2 3"))
        said = f"Epoch {best + 1} (dotted) was the best by its score. "
    title = "Training curves"
    last = rows[-1]
    ends_at = ", ".join(
        f"{words} {float(last[key]):.2f}" for key, words, *_ in _SHARES if key in last
    )
    description = f"{len(rows)} epochs. {said}After the last: {ends_at or 'nothing measured'}."
    keys = [(key, words) for key, words, *_ in _LOSSES + _SHARES if any(key in row for row in rows)]
    table = Table(
        ("Epoch", *(words + (" loss" if "loss" in key else "") for key, words in keys)),
        tuple(
            (
                str(n + 1) + (" (best)" if n == best else ""),
                *(f"{float(row[key]):.3f}" if key in row else "–" for key, _ in keys),
            )
            for n, row in enumerate(rows)
        ),
    )
    return Plot(
        name, title, description, drawing(name, 352, title, description, *parts), table, 352
    )


def _curves(
    frame: Frame,
    rows: Sequence[Mapping[str, Any]],
    series: tuple[tuple[str, str, str, str], ...],
    heading: str,
) -> list[str]:
    parts = [text(frame.left - 38, frame.top - 24, heading)]
    x = frame.left
    for key, words, colour, dashes in series:
        points = [(n + 1.0, float(row[key])) for n, row in enumerate(rows) if key in row]
        if not points:
            continue
        dashed: dict[str, str | float] = {"stroke_dasharray": dashes} if dashes else {}
        y = frame.top - 9
        parts.append(line(x, y - 3, x + 22, y - 3, class_=colour, stroke_width=2, **dashed))
        parts.append(text(x + 27, y, words))
        x += 27 + 6 * len(words) + 18
        if len(points) == 1:
            place = frame.at(*points[0])
            parts.append(dot(*place, 3, class_=colour))
        else:
            parts.append(frame.line(points, class_=colour, stroke_width=2, **dashed))
    return parts
