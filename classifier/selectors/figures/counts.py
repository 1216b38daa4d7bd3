"""Counting what a clinic's analyses came to: two aggregate queries, however many rows there are.

PostgreSQL reads the rows of the period once (by the index of the history) and counts them by every
question at the same time, with ``GROUPING SETS``; Django's own aggregation would read them anew for
each. Who may see which row is still said by the querysets: what is counted is their SQL.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.db import connection, models
from django.db.models import Case, F, OuterRef, Subquery, When
from django.db.models.functions import Cast, Coalesce, TruncDate, TruncMonth

from classifier.choices import BodySite, Decision, State, Verdict
from classifier.models import Analysis, Outcome, Reading, Review

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date, datetime

    from classifier.models import Clinic, User

# Years at which the bands begin.
AGE_BANDS = (0, 18, 40, 60, 80)
# Of the shown chance, which lies between 0 and 1.
BINS = 10


@dataclass(frozen=True)
class Period:
    """What is counted.

    Attributes:
        since: the first moment.
        until: the first moment after it.
        clinic: whose analyses; None for all clinics.
    """

    since: datetime
    until: datetime
    clinic: Clinic | None


@dataclass(frozen=True)
class Waits:
    """How many images came in a month, or all together, and how long people waited.

    Attributes:
        images: analyses that were asked for.
        dermoscopy: of these, of dermoscopic images.
        finished: answered or rejected.
        failed: for good.
        cancelled: called off.
        reviewed: looked at by a person.
        answer: median and 95th percentile of seconds from the request to the answer, or None.
        review: likewise to the first review.
    """

    images: int = 0
    dermoscopy: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    reviewed: int = 0
    answer: tuple[float, float] | None = None
    review: tuple[float, float] | None = None

    @property
    def clinical(self) -> int:
        """How many are of clinical photographs."""
        return self.images - self.dermoscopy

    @property
    def waiting(self) -> int:
        """How many are neither finished nor given up."""
        return self.images - self.finished - self.failed - self.cancelled


@dataclass(frozen=True)
class Tally:
    """What the network and the clinicians said of a group of images.

    Attributes:
        images: that the network finished with.
        answers: with an answer.
        cannot_say: left to a person.
        rejected: not usable.
        decided: answers with a final decision of a clinician.
        agreed: of these, decided as the network's first label says.
        read: answers that a clinician read before seeing them.
        read_same: of these, read as the network's first label says.
        proven: answers about lesions whose outcome was found afterwards.
        proven_same: of these, the outcome is the network's first label.
        reviewed: that somebody has reviewed.
        prompt: of these, within a day of the request.
        chance: sum of the shown chances of ``answers``.
    """

    images: int = 0
    answers: int = 0
    cannot_say: int = 0
    rejected: int = 0
    decided: int = 0
    agreed: int = 0
    read: int = 0
    read_same: int = 0
    proven: int = 0
    proven_same: int = 0
    reviewed: int = 0
    prompt: int = 0
    chance: float = 0.0


_COUNTED = ("images", "dermoscopy", "finished", "failed", "cancelled", "reviewed")
_TALLY = tuple(field.name for field in fields(Tally))


@dataclass(frozen=True)
class Counts:
    """Everything that was counted of a period.

    Attributes:
        waits: by month, oldest first.
        all_waits: of the whole period.
        tallies: by question (``month``, ``sex`` …) and value; the whole period by ``all`` and "".
            Reasons are named (label set, decision, code), bins (label set, number from 0), pairs
            (label set, the network's first label, the clinician's final diagnosis).
    """

    waits: dict[date, Waits]
    all_waits: Waits
    tallies: dict[str, dict[Any, Tally]]

    @property
    def tally(self) -> Tally:
        """Of the whole period."""
        return self.tallies["all"].get("", Tally())


# Each question with the columns that it groups by; ``all`` by none.
_QUESTIONS: dict[str, tuple[str, ...]] = {
    "all": (),
    "month": ("month",),
    "skin_type": ("skin_type",),
    "sex": ("sex",),
    "age_band": ("age_band",),
    "site": ("site",),
    "version": ("label_set", "version"),
    "reason": ("label_set", "decision", "code"),
    "bin": ("label_set", "bin"),
    "pair": ("label_set", "top", "final"),
}
_COLUMNS = tuple(dict.fromkeys(name for names in _QUESTIONS.values() for name in names))

_MONTH = Cast(TruncMonth("created_at"), models.DateField())

_COUNT_WAITS = """
WITH counted AS MATERIALIZED ({rows})
SELECT month, count(*), count(*) FILTER (WHERE modality = 'dermoscopy'),
    count(*) FILTER (WHERE state IN ('succeeded', 'rejected')),
    count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'cancelled'),
    count(reviewed_at),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM finished_at - created_at)
    ) FILTER (WHERE state IN ('succeeded', 'rejected')),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM reviewed_at - created_at)
    ) FILTER (WHERE reviewed_at IS NOT NULL)
FROM counted GROUP BY GROUPING SETS ((), (month)) ORDER BY month
"""

_COUNT_TALLIES = """
WITH counted AS MATERIALIZED ({rows}), asked AS (
    SELECT *, decision = 'answer' AS answered,
        decision = 'answer' AND final IS NOT NULL AS decided,
        CASE WHEN decision = 'answer'
            THEN least(width_bucket(chance, 0, 1, {bins}), {bins}) - 1 END AS bin
    FROM counted
)
SELECT grouping({columns}), {columns}, count(*), count(*) FILTER (WHERE answered),
    count(*) FILTER (WHERE decision = 'cannot_say'), count(*) FILTER (WHERE decision = 'rejected'),
    count(*) FILTER (WHERE decided), count(*) FILTER (WHERE decided AND final = top),
    count(*) FILTER (WHERE answered AND reading IS NOT NULL),
    count(*) FILTER (WHERE answered AND reading = top),
    count(*) FILTER (WHERE answered AND proven IS NOT NULL),
    count(*) FILTER (WHERE answered AND proven = top),
    count(reviewed_at), count(*) FILTER (WHERE reviewed_at < created_at + interval '1 day'),
    coalesce(sum(chance) FILTER (WHERE answered), 0)
FROM asked GROUP BY GROUPING SETS ({sets})
"""


class _AgeBand(models.Func):
    """The number of the band (from 1) of an age at a moment; 0 before birth, NULL unknown."""

    template = "width_bucket(extract(year FROM age(%(expressions)s))::int, ARRAY[{}])".format(
        ", ".join(map(str, AGE_BANDS))
    )
    arity = 2
    output_field = models.IntegerField()


def count(user: User, period: Period) -> Counts:
    """Count a period.

    Volume and waiting are counted of all analyses. What the network said, and what people made of
    it, only of those whose answer is open to the person: else the difference of two periods would
    tell what a single unread image hides. And only where the image was of the kind that the
    network was made for: an answer to the wrong question says nothing about the network.

    Args:
        user: who asks.
        period: what to count.

    Raises:
        PermissionDenied: see :func:`analyses_of`.
    """
    found = analyses_of(user, period)
    waits = dict(_waits(found))
    whole = waits.pop(None, Waits())
    return Counts(
        waits={month: one for month, one in waits.items() if month is not None},
        all_waits=whole,
        tallies=_tallies(judged(found, user)),
    )


def analyses_of(user: User, period: Period) -> models.QuerySet[Analysis, Analysis]:
    """Return the analyses of a period that are asked about, in no order.

    Raises:
        PermissionDenied: all clinics together are for superusers only.
    """
    found = Analysis.objects.filter(created_at__gte=period.since, created_at__lt=period.until)
    found = found.order_by()
    if period.clinic is not None:
        return found.visible_to(user).filter(clinic=period.clinic)
    if not (user.is_active and user.is_superuser):
        raise PermissionDenied
    return found


def judged(
    found: models.QuerySet[Analysis, Analysis], user: User
) -> models.QuerySet[Analysis, Analysis]:
    """Return the finished analyses whose answer is open to a person, shown the right network."""
    return found.filter(
        Analysis.objects.open_to(user),
        state__in=(State.SUCCEEDED, State.REJECTED),
        modality=F("image__modality"),
    )


def _waits(
    found: models.QuerySet[Analysis, Analysis],
) -> Iterator[tuple[date | None, Waits]]:
    reviews = Review.objects.filter(analysis=OuterRef("pk")).order_by("number")
    rows = found.annotate(
        month=_MONTH,
        reviewed_at=_where_reviewed(reviews.values("created_at")),
    ).values("month", "state", "modality", "created_at", "finished_at", "reviewed_at")
    for month, *counts, answer, review in _run(_COUNT_WAITS, rows):
        named: dict[str, Any] = dict(zip(_COUNTED, counts, strict=True))
        # A median and a percentile come as a list.
        for name, times in (("answer", answer), ("review", review)):
            named[name] = tuple(times) if times else None
        yield month, Waits(**named)


def _tallies(found: models.QuerySet[Analysis, Analysis]) -> dict[str, dict[Any, Tally]]:
    reviews = Review.objects.filter(analysis=OuterRef("pk"))
    finals = reviews.exclude(verdict=Verdict.DEFER).order_by("-number")
    readings = Reading.objects.filter(analysis=OuterRef("pk"), blinded=True)
    # What was known before the picture was taken says nothing of how the network did.
    outcomes = Outcome.objects.standing().filter(
        lesion=OuterRef("image__lesion"), found_on__gte=OuterRef("day")
    )
    taken = Coalesce("image__taken_at", "created_at")
    rows = found.annotate(moment=taken, day=TruncDate(taken)).values(
        "label_set",
        "decision",
        "created_at",
        month=_MONTH,
        skin_type=F("patient__skin_type"),
        sex=F("patient__sex"),
        age_band=_AgeBand(F("moment"), F("patient__date_of_birth")),
        site=Coalesce("image__lesion__body_site", models.Value(BodySite.UNKNOWN.value)),
        version=F("model_version__version"),
        code=F("prediction__reason_code"),
        top=F("top_label"),
        chance=F("prediction__confidence"),
        reviewed_at=_where_reviewed(reviews.order_by("number").values("created_at")),
        final=_where_reviewed(finals.values("diagnosis"), decision=Decision.ANSWER),
        reading=_where(
            readings.order_by("created_at", "id").values("diagnosis"), decision=Decision.ANSWER
        ),
        proven=_where(
            outcomes.values("diagnosis"), decision=Decision.ANSWER, image__lesion__isnull=False
        ),
    )
    tallies: dict[str, dict[Any, Tally]] = defaultdict(dict)
    asked = {_mask(names): question for question, names in _QUESTIONS.items()}
    names = {
        "columns": ", ".join(_COLUMNS),
        "sets": ", ".join(f"({', '.join(names)})" for names in _QUESTIONS.values()),
        "bins": str(BINS),
    }
    for mask, *row in _run(_COUNT_TALLIES, rows, **names):
        question = asked[mask]
        named = dict(zip(_COLUMNS, row[: len(_COLUMNS)], strict=True))
        values = tuple(named[name] for name in _QUESTIONS[question])
        key = values[0] if len(values) == 1 else values or ""
        tallies[question][key] = Tally(**dict(zip(_TALLY, row[len(_COLUMNS) :], strict=True)))
    return tallies


def _where(rows: models.QuerySet[Any, Any], **conditions: Any) -> Case:
    """Return a column of the first of the rows, looked up only where the conditions hold."""
    return Case(When(**conditions, then=Subquery(rows[:1])))


def _where_reviewed(rows: models.QuerySet[Review, Any], **conditions: Any) -> Case:
    return _where(rows, review_count__gt=0, **conditions)


def _mask(names: tuple[str, ...]) -> int:
    """Return what PostgreSQL's ``grouping`` gives for rows that are grouped by these columns."""
    bits = "".join("0" if name in names else "1" for name in _COLUMNS)
    return int(bits, 2)


def _run(
    statement: str, rows: models.QuerySet[Analysis, Any], **names: str
) -> list[tuple[Any, ...]]:
    """Run a statement over the rows of a queryset, whose SQL takes the place of ``{rows}``."""
    sql, params = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(statement.format(rows=sql, **names), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found
