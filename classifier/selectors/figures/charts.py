"""The plots of the figures page, each with its table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from classifier.choices import Modality
from classifier.selectors.figures.counts import BINS
from classifier.selectors.figures.drawings import (
    MAIN,
    SECOND,
    SOFT,
    Column,
    Series,
    Times,
    Words,
    bars,
    compared_rows,
    dotted_months,
    legend,
    mark,
    plot_of,
    stacked_months,
    too_few,
    waited_rows,
)
from classifier.selectors.figures.words import (
    duration,
    label_name,
    question_name,
    reason_name,
    unit_for,
)
from classifier.selectors.rates import TOO_FEW, Share
from classifier.wording import network_name
from mlcore.plots.plot import Plot, Table
from mlcore.plots.svg import WIDTH, Frame, quarters

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

    from classifier.selectors.figures.totals import Tally, Waits

# More pairs of diagnoses than these are rare ones.
MOST_PAIRS = 10


def with_interval(share: Share) -> str:
    """Return a share with its interval, as a cell shows it."""
    if not share.enough:
        return share.percent
    return f"{share.percent} ({share.percent_interval})"


def month_name(month: date) -> str:
    """Return a month as a table's row is called."""
    return f"{month:%Y-%m}"


def volume(waits: Mapping[date, Waits]) -> Plot:
    """Return how many images came in, month by month."""
    names = (str(Modality.DERMOSCOPY.label), str(Modality.CLINICAL.label))
    return stacked_months(
        Words("volume", _("Images"), _("How many images were sent for analysis in each month.")),
        list(waits),
        [
            (names[0], MAIN, [one.dermoscopy for one in waits.values()]),
            (names[1], SECOND, [one.clinical for one in waits.values()]),
        ],
        Table(
            (_("Month"), *names, _("Together"), _("Failed"), _("Called off"), _("Waiting")),
            tuple(
                (
                    month_name(month),
                    str(one.dermoscopy),
                    str(one.clinical),
                    str(one.images),
                    str(one.failed),
                    str(one.cancelled),
                    str(one.waiting),
                )
                for month, one in waits.items()
            ),
        ),
    )


def waiting(waits: Mapping[date, Waits], *, review: bool) -> Plot:
    """Return how long people waited for the answer, or images for the first review."""
    if review:
        words = Words(
            "waiting-review",
            _("From upload to review"),
            _(
                "The dot is the median; 19 of 20 images were reviewed within the line's upper end. "
                "Only images that somebody has reviewed count, so the last weeks look faster than "
                "they will be."
            ),
        )
        pairs = [(one.review, one.reviewed) for one in waits.values()]
    else:
        words = Words(
            "waiting-answer",
            _("From upload to answer"),
            _("The dot is the median; 19 of 20 answers came within the line's upper end."),
        )
        pairs = [(one.answer, one.finished) for one in waits.values()]
    shown = _told(pairs)
    size, sign = unit_for(max([times[1] for times in shown if times] + [0.0]))
    series = Series(
        _("Median, and up to the 95th percentile"),
        MAIN,
        [times[0] / size if times else None for times in shown],
        [(times[0] / size, times[1] / size) if times else None for times in shown],
    )
    table = Table(
        (_("Month"), _("Images"), _("Median"), _("95th percentile")),
        tuple(
            (
                month_name(month),
                str(count),
                *_lasted(times),
            )
            for month, (_all, count), times in zip(waits, pairs, shown, strict=True)
        ),
    )
    return dotted_months(words, list(waits), [series], table, unit=sign)


def agreement(tallies: Mapping[date, Tally]) -> Plot:
    """Return how often clinicians and the network named the same, month by month."""
    final = [Share(one.agreed, one.decided) for one in tallies.values()]
    own = [Share(one.read_same, one.read) for one in tallies.values()]
    names = (_("Final decision"), _("Own reading before"))
    return dotted_months(
        Words(
            "agreement",
            _("Agreement of clinician and network"),
            _(
                "Of the images with an answer, how many were given the network's first label by a "
                "clinician: finally, after seeing the answer, and in an own reading before it. "
                "Lines are 95 % intervals."
            ),
        ),
        list(tallies),
        [Series.of_shares(names[0], MAIN, final), Series.of_shares(names[1], SECOND, own)],
        Table(
            (_("Month"), names[0], _("of"), names[1], _("of")),
            tuple(
                (month_name(month), *_cells(one), *_cells(other))
                for month, one, other in zip(tallies, final, own, strict=True)
            ),
        ),
    )


def unanswered(tallies: Mapping[date, Tally]) -> Plot:
    """Return how often the network gave no answer, month by month."""
    cannot = [Share(one.cannot_say, one.images) for one in tallies.values()]
    rejected = [Share(one.rejected, one.images) for one in tallies.values()]
    names = (_("Cannot say"), _("Rejected"))
    return dotted_months(
        Words(
            "unanswered",
            _("Images without an answer"),
            _(
                "How often the network left an image to a person, and how often it turned a "
                "picture away. Lines are 95 % intervals."
            ),
        ),
        list(tallies),
        [Series.of_shares(names[0], MAIN, cannot), Series.of_shares(names[1], SECOND, rejected)],
        Table(
            (_("Month"), names[0], names[1], _("of")),
            tuple(
                (month_name(month), with_interval(one), with_interval(other), str(one.whole))
                for month, one, other in zip(tallies, cannot, rejected, strict=True)
            ),
        ),
    )


def reasons(tallies: Mapping[tuple[str, str, str], Tally], decision: str) -> Plot | None:
    """Return why the network gave no answer; None where it always did."""
    counts: dict[str, int] = {}
    for (_labels, what, code), one in tallies.items():
        if what == decision:
            counts[code] = counts.get(code, 0) + one.images
    rows = [
        (reason_name(code), count)
        for code, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    ]
    if not rows:
        return None
    rejected = decision == "rejected"
    title = _("Why pictures were rejected") if rejected else _("Why the network could not say")
    description = _("Counted are images; each has one reason, the first that was met.")
    table = Table((_("Reason"), _("Images")), tuple((name, str(count)) for name, count in rows))
    return bars(Words(f"reasons-{decision.replace('_', '-')}", title, description), rows, table)


def overruled(tallies: Mapping[tuple[str, str, str | None], Tally]) -> Plot | None:
    """Return what clinicians decided instead of the network's first label; None for never."""
    found = sorted(
        (
            (labels, top, final, one.decided)
            for (labels, top, final), one in tallies.items()
            if final is not None and final != top and one.decided
        ),
        key=lambda row: (-row[3], row[:3]),
    )[:MOST_PAIRS]
    if not found:
        return None
    rows = [
        (
            _("%(network)s, decided: %(clinician)s")
            % {"network": label_name(top, labels), "clinician": label_name(final, labels)},
            count,
        )
        for labels, top, final, count in found
    ]
    table = Table(
        (_("Network's first label"), _("Decided"), _("Images")),
        tuple(
            (label_name(top, labels), label_name(final, labels), str(count))
            for labels, top, final, count in found
        ),
    )
    words = Words(
        "overruled",
        _("Overruled answers"),
        _("The network's first label, and what the clinician decided instead; the most frequent."),
    )
    return bars(words, rows, table)


def reliability(labels: str, bins: Mapping[int, Tally]) -> Plot:
    """Return how often people came to the network's first label, by the chance that it showed."""
    frame = Frame(42, 40, WIDTH - 62, 180)
    parts = [
        frame.axes(quarters(), quarters(), x_name=_("Shown chance of the first label")),
        frame.line([(0, 0), (1, 1)], class_=SOFT, stroke_dasharray="4 3"),
        *legend([(_("Clinician decided the same"), MAIN), (_("Outcome the same"), SECOND)]),
    ]
    rows, empty = [], True
    for number, one in sorted(bins.items()):
        decided, proven = Share(one.agreed, one.decided), Share(one.proven_same, one.proven)
        for share, chance, tone, shift in (
            (decided, one.chance_decided, MAIN, -0.008),
            (proven, one.chance_proven, SECOND, 0.008),
        ):
            if share.value is not None:
                # Of the answers that the share is of: those of few lesions are not like the rest.
                mean = chance / share.whole
                parts += mark(frame, mean + shift, share.value, share.interval, tone)
                empty = False
        low, high = number * 100 // BINS, (number + 1) * 100 // BINS
        rows.append(
            (
                _("%(low)d to %(high)d %%") % {"low": low, "high": high},
                str(one.answers),
                _mean_chance(one.chance, one.answers),
                *_cells(decided),
                _mean_chance(one.chance_decided, one.decided),
                *_cells(proven),
                _mean_chance(one.chance_proven, one.proven),
            )
        )
    if empty:
        # Beside the dashed line.
        parts.append(too_few(frame, 0.27, 0.3))
    words = Words(
        f"reliability-{labels}",
        _("Calibration in use: %(network)s") % {"network": network_name(labels)},
        _(
            "On the dashed line the shown chance is true; lines are 95 % intervals. Clinicians "
            "decide after seeing the answer, which draws them towards it: their dots show whether "
            "the chances can be lived with, not how often the network is right. Outcomes are known "
            "of few lesions, mostly of those that looked worst."
        ),
    )
    head = (
        _("Shown chance"),
        _("Answers"),
        _("Mean chance"),
        _("Clinician decided the same"),
        _("of"),
        _("Mean chance"),
        _("Outcome the same"),
        _("of"),
        _("Mean chance"),
    )
    return plot_of(words, 260, parts, Table(head, tuple(rows)))


def groups(question: str, tallies: Mapping[str, Tally], waits: Mapping[str, Waits]) -> Plot:
    """Return agreement and abstentions of each part of the images, and how soon it is reviewed."""
    agreed = [Share(one.agreed, one.decided) for one in tallies.values()]
    cannot = [Share(one.cannot_say, one.images) for one in tallies.values()]
    own = [Share(one.read_same, one.read) for one in tallies.values()]
    proven = [Share(one.proven_same, one.proven) for one in tallies.values()]
    rejected = [Share(one.rejected, one.images) for one in tallies.values()]
    title = question_name(question)
    table = Table(
        (
            title,
            _("Images"),
            _("Mean shown chance"),
            _("Agreement, final"),
            _("of"),
            _("Agreement, own reading before"),
            _("of"),
            _("Agreement, outcome"),
            _("of"),
            _("Cannot say"),
            _("Rejected"),
            _("Reviewed within a day"),
            _("of"),
        ),
        tuple(
            (
                name,
                str(one.images),
                _mean_chance(one.chance, one.answers),
                *_cells(agreed[place]),
                *_cells(own[place]),
                *_cells(proven[place]),
                with_interval(cannot[place]),
                with_interval(rejected[place]),
                *_cells(Share(waits[name].prompt, waits[name].due)),
            )
            for place, (name, one) in enumerate(tallies.items())
        ),
    )
    words = Words(
        f"by-{question.replace('_', '-')}",
        title,
        _(
            "Agreement of the final decision with the network's first label, and how often the "
            "network could not say, with 95 % intervals. Nothing is said of fewer than 30."
        ),
    )
    columns = (Column(_("Agreement, %"), agreed), Column(_("Cannot say, %"), cannot))
    rows = [(name, one.images) for name, one in tallies.items()]
    return compared_rows(words, rows, columns, table)


def waiting_groups(question: str, waits: Mapping[str, Waits]) -> Plot:
    """Return how long people waited with each part of the images."""
    title = question_name(question)
    answers = _told((one.answer, one.finished) for one in waits.values())
    reviews = _told((one.review, one.reviewed) for one in waits.values())
    columns = []
    for name, times in ((_("Answer"), answers), (_("Review"), reviews)):
        size, sign = unit_for(max([one[1] for one in times if one] + [0.0]))
        columns.append(Times(f"{name}, {sign}", size, times))
    late = _("95th percentile")
    table = Table(
        (title, _("Images"), _("From upload to answer"), late, _("From upload to review"), late),
        tuple(
            (name, str(one.images), *_lasted(answers[place]), *_lasted(reviews[place]))
            for place, (name, one) in enumerate(waits.items())
        ),
    )
    words = Words(
        f"waits-by-{question.replace('_', '-')}",
        title,
        _(
            "From upload to the answer, and to the first review: the dot is the median, the line "
            "ends where 19 of 20 were done. Nothing is said of fewer than 30."
        ),
    )
    rows = [(name, one.images) for name, one in waits.items()]
    return waited_rows(words, rows, columns, table)


def _told(
    waits: Iterable[tuple[tuple[float, float] | None, int]],
) -> list[tuple[float, float] | None]:
    """Return times, where there are enough of them."""
    return [times if count >= TOO_FEW else None for times, count in waits]


def _lasted(times: tuple[float, float] | None) -> tuple[str, str]:
    if times is None:
        return _("too few to say"), "–"
    return duration(times[0]), duration(times[1])


def _mean_chance(summed: float, answers: int) -> str:
    return f"{round(100 * summed / answers)} %" if answers >= TOO_FEW else "–"


def _cells(share: Share) -> tuple[str, str]:
    return with_interval(share), str(share.whole)
