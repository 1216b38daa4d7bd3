"""The plot of one network's drift, with its table, and the same for groups of patients."""

from __future__ import annotations

from bisect import bisect
from collections import defaultdict
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from classifier.selectors.drift import compared, measure_name
from classifier.selectors.figures.counts import AGE_BANDS, SKIN_GROUPS
from classifier.selectors.figures.drawings import MAIN, SECOND, SOFT, Words, plot_of
from classifier.selectors.figures.words import group_name, group_order, question_name
from mlcore.drift import INPUTS, LEAST_DISTANCE, Shift
from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, Frame, dot, line, tag, text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from classifier.selectors.drift import Drift, Seen


def drift(found: Drift, names: Sequence[str]) -> Plot:
    """Return how far each measure lies from the release's reference.

    Args:
        found: with a reference.
        names: of its measures, as shown.
    """
    left, row = 176.0, 18.0
    height = 30 + row * len(names)
    frame = Frame(left, 22, WIDTH - left - 58, height - 22, across=(0, 0.5))
    parts = [
        frame.axes([(0.0, "0"), (0.25, "0.25"), (0.5, "0.5")], []),
        text(left, 12, _("Distance")),
    ]
    x, _y = frame.at(LEAST_DISTANCE, 0)
    parts.append(line(x, 22, x, height, class_=SOFT, stroke_dasharray="4 3"))
    rows = []
    for number, (one, name) in enumerate(zip(found.shifts, names, strict=True)):
        y = 22 + row * (number + 1)
        parts.append(text(0, y, name))
        said = _("too few to say")
        if one.enough:
            said = _("shifted") if one.shifted else _("no shift")
            place, _unused = frame.at(min(one.distance, 0.5), 0)
            tone = SECOND if one.shifted else MAIN
            parts.append(
                tag(
                    "rect",
                    x=place - 3.5,
                    y=y - 7,
                    width=7,
                    height=7,
                    fill="currentColor",
                    class_=tone,
                )
                if one.shifted
                else dot(place, y - 3.5, 3.5, class_=tone)
            )
        parts.append(text(WIDTH, y, said, anchor="end", class_=SECOND if one.shifted else SOFT))
        rows.append(
            (
                name,
                f"{one.reference_median:.3g}",
                f"{one.median:.3g}" if one.enough else "–",
                str(one.pictures),
                f"{one.distance:.2f}" if one.enough else "–",
                said,
            )
        )
    words = Words(
        f"drift-{found.version.label_set}",
        _("Drift: %(version)s") % {"version": found.version},
        _(
            "How far the newest pictures of the last 30 days lie from those that the release was "
            "measured on: 0 is the same distribution, 1 has nothing in common. An alarm needs more "
            "than the dashed 0.1, and more than chance. What the network said is compared where "
            "everybody of the clinic may see it."
        ),
    )
    head = (
        _("Measure"),
        _("Median of the release"),
        _("Median now"),
        _("Pictures"),
        _("Distance"),
        _("Verdict"),
    )
    return plot_of(words, height + 22, parts, Table(head, tuple(rows)))


def drift_of_groups(found: Drift) -> Table:
    """Return how far the pictures of each group of patients lie from the whole reference.

    No alarm is made of it: groups differ among themselves, and a release that saw few of one lies
    far from it from the first day on. That is worth knowing, but it is no change.

    Args:
        found: with a reference.
    """
    parts: dict[tuple[str, Any], list[Seen]] = defaultdict(list)
    for one in found.seen:
        for question, key in _groups_of(one):
            parts[question, key].append(one)
    rows = []
    for question, key in sorted(parts, key=group_order):
        seen = parts[question, key]
        found_shifts = [row for row in compared(found.reference or {}, seen) if row.enough]
        rows.append(
            (
                f"{question_name(question)}: {group_name(question, key)}",
                str(len(seen)),
                _farthest([row for row in found_shifts if row.measure in INPUTS]),
                _farthest([row for row in found_shifts if row.measure not in INPUTS]),
            )
        )
    head = (_("Group"), _("Pictures"), _("Picture, farthest"), _("Answer, farthest"))
    return Table(head, tuple(rows))


def _groups_of(one: Seen) -> list[tuple[str, Any]]:
    return [
        ("skin_type", SKIN_GROUPS.get(one.skin_type, "unknown")),
        ("sex", one.sex),
        ("age_band", None if one.age is None else bisect(AGE_BANDS, one.age)),
        ("site", one.site),
    ]


def _farthest(rows: Sequence[Shift]) -> str:
    if not rows:
        return _("too few to say")
    row = max(rows, key=lambda row: row.distance)
    return f"{measure_name(row.measure)}, {row.distance:.2f}"
