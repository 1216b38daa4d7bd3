"""Figures that took long to count, kept for some minutes and shown with their moment.

What is kept is the same for everybody who may ask for it: it is counted of answers that hide from
nobody (:func:`classifier.selectors.figures.counts.count`), and kept by clinic and period. Whether
the person belongs to the clinic is asked every time, before anything kept is looked for; and where
an answer was closed again since, or a patient erased, everything is counted anew. Kept are numbers
only: the cache's server writes to a disk, where nobody's words belong.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, F
from django.db.models.functions import Lower, Trim

from classifier.choices import Verdict
from classifier.models import AuditEvent, Clinic, Erasure, ReadingRequest, Review
from classifier.selectors.figures.counts import analyses_of, count, judged
from classifier.selectors.figures.totals import Counts, Tally, Waits

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from classifier.models import Analysis, User
    from classifier.selectors.figures.counts import Period

logger = logging.getLogger(__name__)

# Reasons in people's own words that are listed, the most frequent first.
MOST_REASONS = 10
# What was being stored while it was counted may have been missed.
_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True)
class Counted:
    """What was counted of a period.

    Attributes:
        counts: the figures.
        reasons: why answers were overruled, in people's own words, and how often.
        moment: when the counting began.
    """

    counts: Counts
    reasons: list[tuple[str, int]]
    moment: datetime


def counted(user: User, period: Period, *, now: datetime) -> Counted:
    """Return the figures of a period, kept ones where counting takes long.

    Args:
        user: who asks.
        period: what to count.
        now: the present moment.

    Raises:
        PermissionDenied: all clinics together are for superusers only.
    """
    rows = analyses_of(user, period)
    member = period.clinic is None or (
        Clinic.objects.visible_to(user).filter(pk=period.clinic.pk).exists()
    )
    # Who sees single patients of a clinic in an emergency has figures of nobody else.
    key = key_of(period) if member else ""
    reasons = _reasons(period, rows) if period.clinic else []
    kept = _kept(key) if key else None
    if kept is not None and not _closed_since(period, kept[1] - _MARGIN):
        return Counted(kept[0], reasons, kept[1])
    began = time.monotonic()
    counts = count(user, period)
    if key and time.monotonic() - began >= settings.FIGURES_SLOW_SECONDS:
        _keep(key, counts, now)
    return Counted(counts, reasons, now)


def key_of(period: Period) -> str:
    """Return the name under which a period's figures are kept.

    It names everything they depend on but the rows: whose they are, from when to when, which
    clinics hide answers until they are reviewed, and what the program counts.
    """
    if period.clinic is not None:
        whose, hiding = str(period.clinic.pk), str(period.clinic.blinded_first)
    else:
        hidden = Clinic.objects.filter(blinded_first=True).order_by("pk")
        whose, hiding = "all", ",".join(map(str, hidden.values_list("pk", flat=True)))
    shape = ",".join(field.name for one in (Counts, Tally, Waits) for field in fields(one))
    facts = [whose, period.since.isoformat(), period.until.isoformat(), hiding, shape]
    return f"figures:{whose}:{hashlib.sha256(repr(facts).encode()).hexdigest()}"


def _kept(key: str) -> tuple[Counts, datetime] | None:
    """Return what is kept, and when its counting began."""
    try:
        facts = cache.get(key)
    except Exception:  # whatever the cache's library raises, counting goes on
        logger.warning("Kept figures could not be looked up.", exc_info=True)
        return None
    try:
        return _counts(facts), datetime.fromisoformat(facts["moment"])
    except (AttributeError, KeyError, TypeError, ValueError):
        # Nothing is kept, or something else.
        return None


def _keep(key: str, counts: Counts, moment: datetime) -> None:
    try:
        facts = _facts(counts) | {"moment": moment.isoformat()}
        cache.set(key, facts, settings.FIGURES_KEPT_SECONDS)
    except Exception:  # likewise
        logger.warning("Figures could not be kept.", exc_info=True)


def _facts(counts: Counts) -> dict[str, Any]:
    """Return the figures as JSON can say them."""
    return {
        name: [
            [question, key.isoformat() if isinstance(key, date) else key, asdict(one)]
            for question, groups in getattr(counts, name).items()
            for key, one in groups.items()
        ]
        for name in ("waits_by", "tallies")
    }


def _counts(facts: Any) -> Counts:
    """Return what :func:`_facts` said."""
    waits: dict[str, dict[Any, Waits]] = defaultdict(dict)
    for question, key, one in facts["waits_by"]:
        times = {name: tuple(one[name]) for name in ("answer", "review") if one[name]}
        waits[question][_group(question, key)] = Waits(**one | times)
    tallies: dict[str, dict[Any, Tally]] = defaultdict(dict)
    for question, key, one in facts["tallies"]:
        tallies[question][_group(question, key)] = Tally(**one)
    return Counts(waits, tallies)


def _group(question: str, key: Any) -> Any:
    if question == "month":
        return date.fromisoformat(key)
    return tuple(key) if isinstance(key, list) else key


def _closed_since(period: Period, moment: datetime) -> bool:
    """Tell whether an answer may have been closed to somebody again, or a patient erased.

    A request for a second reading closes it to whoever is asked, a deferral after a decision to
    who has not read it, and another try to everybody.
    """
    found: list[QuerySet[Any]] = [
        ReadingRequest.objects.filter(created_at__gte=moment),
        Review.objects.filter(created_at__gte=moment, verdict=Verdict.DEFER, number__gt=1),
        AuditEvent.objects.filter(at__gte=moment, action="analysis.retried"),
        Erasure.objects.filter(erased_at__gte=moment),
    ]
    if period.clinic is not None:
        found = [rows.filter(clinic=period.clinic) for rows in found]
    return any(rows.order_by().exists() for rows in found)


def _reasons(period: Period, rows: QuerySet[Analysis, Analysis]) -> list[tuple[str, int]]:
    """Return why answers were overruled, as written.

    Of one clinic only: its members may read these reviews anyway. What somebody wrote may name a
    patient, so no reason is told beyond the clinic.
    """
    found = (
        Review.objects.filter(
            verdict=Verdict.OVERRULE,
            # Older reviews cannot be of these analyses; the newest ones have an index.
            created_at__gte=period.since,
            analysis__in=judged(rows),
            # Not of a result that was let go by another try.
            prediction=F("analysis__prediction"),
        )
        .order_by()
        .values(written=Lower(Trim("reason")))
        .annotate(times=Count("pk"))
        .order_by("-times", "written")
    )
    return [(row["written"], row["times"]) for row in found[:MOST_REASONS]]
