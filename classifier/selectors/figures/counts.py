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
from django.db.models.functions import Cast, Coalesce, NullIf, TruncDate, TruncMonth

from classifier.choices import BodySite, Decision, State, Verdict
from classifier.models import Analysis, Outcome, Reading, Review
from classifier.selectors.figures.totals import Counts, Tally, Waits

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from classifier.models import Clinic, User

# Years at which the bands begin.
AGE_BANDS = (0, 18, 40, 60, 80)
# Of the shown chance, which lies between 0 and 1.
BINS = 10
# Fitzpatrick's six types in the three groups that studies report, and nobody's type.
SKIN_GROUPS = {
    "I": "I-II",
    "II": "I-II",
    "III": "III-IV",
    "IV": "III-IV",
    "V": "V-VI",
    "VI": "V-VI",
}


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


_COUNTED = ("images", "dermoscopy", "finished", "failed", "cancelled", "reviewed", "due", "prompt")
_TALLY = tuple(field.name for field in fields(Tally))

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
# Medians of groups cannot be put together from those of their parts: these are counted as shown.
_WAIT_QUESTIONS: dict[str, tuple[str, ...]] = {
    "all": (),
    "month": ("month",),
    "label_set": ("label_set",),
    "version": ("label_set", "version"),
    "skin_type": ("skin_type",),
    "sex": ("sex",),
    "age_band": ("age_band",),
    "site": ("site",),
    "clinic": ("clinic_name",),
}

_MONTH = Cast(TruncMonth("created_at"), models.DateField())
_TAKEN = Coalesce("image__taken_at", "created_at")

_COUNT_WAITS = """
WITH counted AS MATERIALIZED ({rows}), waited AS (
    SELECT *, state IN ('succeeded', 'rejected') AND created_at < now() - interval '1 day' AS due
    FROM counted
)
SELECT grouping({columns}), {columns}, count(*), count(*) FILTER (WHERE modality = 'dermoscopy'),
    count(*) FILTER (WHERE state IN ('succeeded', 'rejected')),
    count(*) FILTER (WHERE state = 'failed'), count(*) FILTER (WHERE state = 'cancelled'),
    count(reviewed_at), count(*) FILTER (WHERE due),
    count(*) FILTER (WHERE due AND reviewed_at < created_at + interval '1 day'),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM finished_at - created_at)
    ) FILTER (WHERE state IN ('succeeded', 'rejected')),
    percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
        ORDER BY extract(epoch FROM reviewed_at - created_at)
    ) FILTER (WHERE reviewed_at IS NOT NULL)
FROM waited GROUP BY GROUPING SETS ({sets})
"""

_COUNT_TALLIES = """
WITH counted AS MATERIALIZED ({rows}), proof AS (
    SELECT DISTINCT ON (lesion_key, version_key) pk, known AS proven
    FROM counted WHERE known IS NOT NULL
    ORDER BY lesion_key, version_key, moment DESC, created_at DESC, pk DESC
), asked AS (
    SELECT *, decision = 'answer' AS answered,
        decision = 'answer' AND final IS NOT NULL AS decided,
        CASE WHEN decision = 'answer'
            THEN least(width_bucket(chance, 0, 1, {bins}), {bins}) - 1 END AS bin
    FROM counted LEFT JOIN proof USING (pk)
)
SELECT grouping({columns}), {columns}, count(*), count(*) FILTER (WHERE answered),
    count(*) FILTER (WHERE decision = 'cannot_say'), count(*) FILTER (WHERE decision = 'rejected'),
    count(*) FILTER (WHERE decided), count(*) FILTER (WHERE decided AND final = top),
    count(*) FILTER (WHERE answered AND reading IS NOT NULL),
    count(*) FILTER (WHERE answered AND reading = top),
    count(*) FILTER (WHERE answered AND proven IS NOT NULL),
    count(*) FILTER (WHERE answered AND proven = top),
    coalesce(sum(chance) FILTER (WHERE answered), 0),
    coalesce(sum(chance) FILTER (WHERE decided), 0),
    coalesce(sum(chance) FILTER (WHERE answered AND proven IS NOT NULL), 0)
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
    it, only of those whose answer is open to everybody of their clinic: else the difference of two
    periods would tell what a single unread image hides; and colleagues see the same figures. And
    only where the image was of the kind that the network was made for: an answer to the wrong
    question says nothing about the network.

    Args:
        user: who asks; of the clinic's analyses only those that the person may see are counted.
        period: what to count.

    Raises:
        PermissionDenied: see :func:`analyses_of`.
    """
    found = analyses_of(user, period)
    by_clinic = period.clinic is None
    return Counts(_waits(found, by_clinic=by_clinic), _tallies(judged(found)))


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


def judged(found: models.QuerySet[Analysis, Analysis]) -> models.QuerySet[Analysis, Analysis]:
    """Return the finished analyses whose answer hides from nobody, shown the right network."""
    return found.filter(
        Analysis.objects.open_to_everybody(),
        state__in=(State.SUCCEEDED, State.REJECTED),
        modality=F("image__modality"),
    )


def _grouped() -> dict[str, Any]:
    """Return columns by which both statements part the images, of rows with ``moment``."""
    types = [
        When(patient__skin_type=one, then=models.Value(group)) for one, group in SKIN_GROUPS.items()
    ]
    return {
        "month": _MONTH,
        "skin_type": Case(*types, default=models.Value("unknown")),
        "sex": F("patient__sex"),
        # 0: born after the picture was taken, so one of the two dates is wrong.
        "age_band": NullIf(_AgeBand(F("moment"), F("patient__date_of_birth")), models.Value(0)),
        "site": Coalesce("image__lesion__body_site", models.Value(BodySite.UNKNOWN.value)),
        "version": F("model_version__version"),
    }


def _waits(
    found: models.QuerySet[Analysis, Analysis], *, by_clinic: bool
) -> dict[str, dict[Any, Waits]]:
    reviews = _reviews().order_by("number")
    rows = found.annotate(moment=_TAKEN).values(
        "label_set",
        "state",
        "modality",
        "created_at",
        "finished_at",
        **_grouped(),
        clinic_name=F("clinic__name"),
        reviewed_at=_where_reviewed(reviews.values("created_at")),
    )
    questions = dict(_WAIT_QUESTIONS)
    if not by_clinic:
        del questions["clinic"]
    waits: dict[str, dict[Any, Waits]] = defaultdict(dict)
    for question, key, (*counts, answer, review) in _run(_COUNT_WAITS, rows, questions):
        named: dict[str, Any] = dict(zip(_COUNTED, counts, strict=True))
        # A median and a percentile come as a list.
        for name, times in (("answer", answer), ("review", review)):
            named[name] = tuple(times) if times else None
        waits[question][key] = Waits(**named)
    return dict(waits)


def _tallies(found: models.QuerySet[Analysis, Analysis]) -> dict[str, dict[Any, Tally]]:
    finals = _reviews().exclude(verdict=Verdict.DEFER).order_by("-number")
    readings = Reading.objects.filter(analysis=OuterRef("pk"), blinded=True)
    # What was known before the picture was taken says nothing of how the network did.
    outcomes = (
        Outcome.objects.standing()
        .filter(lesion=OuterRef("image__lesion"), found_on__gte=OuterRef("day"))
        .order_by()
    )
    rows = found.annotate(moment=_TAKEN, day=TruncDate(_TAKEN)).values(
        "pk",
        "label_set",
        "decision",
        "created_at",
        "moment",
        **_grouped(),
        lesion_key=F("image__lesion"),
        version_key=F("model_version"),
        code=F("prediction__reason_code"),
        top=F("top_label"),
        chance=F("prediction__confidence"),
        final=_where_reviewed(finals.values("diagnosis"), decision=Decision.ANSWER),
        reading=_where(
            readings.order_by("created_at", "id").values("diagnosis"), decision=Decision.ANSWER
        ),
        # The newest picture of a lesion counts, whether the network had an answer to it or not.
        known=_where(outcomes.values("diagnosis"), image__lesion__isnull=False),
    )
    tallies: dict[str, dict[Any, Tally]] = defaultdict(dict)
    for question, key, counts in _run(_COUNT_TALLIES, rows, _QUESTIONS, bins=str(BINS)):
        tallies[question][key] = Tally(**dict(zip(_TALLY, counts, strict=True)))
    return tallies


def _reviews() -> models.QuerySet[Review, Review]:
    """Return the reviews of an analysis's result; what was let go by another try had its own."""
    return Review.objects.filter(analysis=OuterRef("pk"), prediction=OuterRef("prediction"))


def _where(rows: models.QuerySet[Any, Any], **conditions: Any) -> Case:
    """Return a column of the first of the rows, looked up only where the conditions hold."""
    return Case(When(**conditions, then=Subquery(rows[:1])))


def _where_reviewed(rows: models.QuerySet[Review, Any], **conditions: Any) -> Case:
    return _where(rows, review_count__gt=0, **conditions)


def _run(
    statement: str,
    rows: models.QuerySet[Analysis, Any],
    questions: Mapping[str, tuple[str, ...]],
    **names: str,
) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Run a statement over the rows of a queryset, whose SQL takes the place of ``{rows}``.

    Yields:
        The question, the value (several as a tuple, none as ""), and what was counted.
    """
    columns = tuple(dict.fromkeys(name for asked in questions.values() for name in asked))
    # What PostgreSQL's ``grouping`` gives for rows that are grouped by some of the columns.
    masks = {
        int("".join("0" if name in asked else "1" for name in columns), 2): question
        for question, asked in questions.items()
    }
    names |= {
        "columns": ", ".join(columns),
        "sets": ", ".join(f"({', '.join(asked)})" for asked in questions.values()),
    }
    sql, params = rows.query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(statement.format(rows=sql, **names), params)
        found = cursor.fetchall()
    for mask, *row in found:
        question = masks[mask]
        named = dict(zip(columns, row[: len(columns)], strict=True))
        values = tuple(named[name] for name in questions[question])
        yield question, values[0] if len(values) == 1 else values or "", tuple(row[len(columns) :])
