"""Everything that the figures page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.translation import gettext as _

from classifier.selectors.drift import Drift, drifts_of, measure_name, watched_versions
from classifier.selectors.figures import charts
from classifier.selectors.figures.drift_chart import drift, drift_of_groups
from classifier.selectors.figures.kept import counted
from classifier.selectors.figures.totals import Tally
from classifier.selectors.figures.words import duration, group_name, group_order
from classifier.selectors.rates import TOO_FEW, Share

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from classifier.models import User
    from classifier.selectors.figures.counts import Period
    from classifier.selectors.figures.totals import Counts
    from mlcore.plots.plot import Plot, Table

Part = TypeVar("Part")
_QUESTIONS = ("version", "skin_type", "sex", "age_band", "site")
_WAITED = ("label_set", *_QUESTIONS, "clinic")
_UNORDERED = {"version", "label_set", "clinic"}


@dataclass(frozen=True)
class Fact:
    """One figure of the whole period.

    Attributes:
        name: what it is.
        value: as shown.
        note: what it was counted from.
    """

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class DriftView:
    """What the page says of one network's drift.

    Attributes:
        drift: what was found.
        plot: None where there is nothing to compare.
        alarms: names of what has shifted.
        groups: how far the pictures of groups of patients lie; None likewise.
    """

    drift: Drift
    plot: Plot | None
    alarms: str
    groups: Table | None


@dataclass(frozen=True)
class FiguresPage:
    """The page.

    Attributes:
        images: how many were sent; 0 leaves everything else empty.
        open: how many finished ones the page may tell of.
        hidden: how many finished ones it leaves out.
        facts: of the whole period.
        work: plots of volume, waiting and agreement.
        calibration: one plot for each network.
        groups: one plot for each way to part the images.
        waits: likewise, of how long people waited.
        reasons: why answers were overruled, in people's own words, and how often.
        moment: when all but the drift was counted.
        drift: one view for each network that answers now.
    """

    images: int
    open: int
    hidden: int
    facts: list[Fact]
    work: list[Plot]
    calibration: list[Plot]
    groups: list[Plot]
    waits: list[Plot]
    reasons: list[tuple[str, int]]
    moment: datetime
    drift: list[DriftView]

    @property
    def alarms(self) -> list[DriftView]:
        """Networks whose pictures have shifted."""
        return [view for view in self.drift if view.alarms]

    @property
    def drift_plots(self) -> list[Plot]:
        """Plots of what has pictures enough to be compared."""
        return [view.plot for view in self.drift if view.plot]


def figures_page(user: User, period: Period, *, now: datetime) -> FiguresPage:
    """Return the page of a period.

    Drift is looked at over the last days before ``now`` whatever the period is, and over all
    pictures; what the network said of them only where its answer is hidden from nobody, or the
    page before and after one picture would tell what is hidden.

    Args:
        user: who asks.
        period: what to count.
        now: the present moment.

    Raises:
        PermissionDenied: all clinics together are for superusers only.
    """
    found = counted(user, period, now=now)
    counts = found.counts
    drifts = drifts_of(watched_versions(), until=now, clinic=period.clinic, hiding=True)
    tally = counts.tally
    return FiguresPage(
        images=counts.all_waits.images,
        open=tally.images,
        hidden=counts.all_waits.finished - tally.images,
        facts=_facts(counts),
        work=_work(counts),
        calibration=_calibration(counts),
        groups=[
            charts.groups(
                question,
                _named(question, counts.tallies[question]),
                _named(question, counts.waits_of(question)),
            )
            for question in _QUESTIONS
        ]
        if tally.images
        else [],
        waits=_waits(counts),
        reasons=found.reasons,
        moment=found.moment,
        drift=[_view(one) for one in drifts],
    )


def _facts(counts: Counts) -> list[Fact]:
    waits, tally = counts.all_waits, counts.tally
    agreed, own = Share(tally.agreed, tally.decided), Share(tally.read_same, tally.read)
    cannot, rejected = (
        Share(tally.cannot_say, tally.images),
        Share(tally.rejected, tally.images),
    )
    few = _("too few to say")
    enough = {"answer": waits.finished >= TOO_FEW, "review": waits.reviewed >= TOO_FEW}
    return [
        Fact(_("Images"), str(waits.images), _("%(n)d failed") % {"n": waits.failed}),
        _wait(_("From upload to answer"), waits.answer if enough["answer"] else None, few),
        _wait(_("From upload to review"), waits.review if enough["review"] else None, few),
        _shared(_("Agreement, final decision"), agreed),
        _shared(_("Agreement, own reading before"), own),
        _shared(_("Agreement, outcome"), Share(tally.proven_same, tally.proven)),
        _shared(_("Cannot say"), cannot),
        _shared(_("Rejected"), rejected),
    ]


def _wait(name: str, times: tuple[float, float] | None, few: str) -> Fact:
    if times is None:
        return Fact(name, few)
    late = _("19 of 20 within %(time)s") % {"time": duration(times[1])}
    return Fact(name, duration(times[0]), late)


def _shared(name: str, share: Share) -> Fact:
    note = f"{share.percent_interval} · {share.counts}" if share.enough else share.counts
    return Fact(name, share.percent, note)


def _work(counts: Counts) -> list[Plot]:
    if not counts.waits:
        return []
    months = {month: counts.tallies["month"].get(month, Tally()) for month in counts.waits}
    found: list[Plot | None] = [
        charts.volume(counts.waits),
        charts.waiting(counts.waits, review=False),
        charts.waiting(counts.waits, review=True),
        charts.agreement(months),
        charts.overruled(counts.tallies["pair"]),
        charts.unanswered(months),
        charts.reasons(counts.tallies["reason"], "cannot_say"),
        charts.reasons(counts.tallies["reason"], "rejected"),
    ]
    return [plot for plot in found if plot is not None]


def _calibration(counts: Counts) -> list[Plot]:
    networks: dict[str, dict[int, Tally]] = {}
    for (labels, number), one in counts.tallies["bin"].items():
        if number is not None:
            networks.setdefault(labels, {})[number] = one
    return [charts.reliability(labels, bins) for labels, bins in sorted(networks.items())]


def _named(question: str, found: Mapping[Any, Part]) -> dict[str, Part]:
    """Return the parts of the images by name, in the order in which people expect them."""

    def place(key: Any) -> Any:
        return key if question in _UNORDERED else group_order((question, key))

    return {group_name(question, key): found[key] for key in sorted(found, key=place)}


def _waits(counts: Counts) -> list[Plot]:
    """Return plots of how long people waited, one for each way to part the images."""
    plots = []
    for question in _WAITED:
        found = counts.waits_by.get(question, {})
        # What still waits for an answer has no version.
        told = {key: one for key, one in found.items() if question != "version" or all(key)}
        if told:
            plots.append(charts.waiting_groups(question, _named(question, told)))
    return plots


def _view(found: Drift) -> DriftView:
    names = [measure_name(row.measure) for row in found.shifts]
    shifted = ", ".join(measure_name(row.measure) for row in found.alarms)
    if not (found.shifts and found.enough):
        return DriftView(found, None, shifted, None)
    return DriftView(found, drift(found, names), shifted, drift_of_groups(found))
