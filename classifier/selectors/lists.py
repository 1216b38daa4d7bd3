"""The worklist and the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Case, F, PositiveSmallIntegerField, Q, When
from django.utils import timezone

from classifier.choices import ReviewState, State
from classifier.models import Analysis, Patient, Review
from classifier.selectors.paging import KeysetPage, paginate
from classifier.selectors.results import diagnosis_name, percent_of, veil
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from classifier.models import User
    from classifier.querysets.analyses import AnalysisQuerySet

# A count beyond this is shown as "99+": nobody works through more in one sitting.
MOST_COUNTED = 99
_NEWEST_FIRST = ("-created_at", "-id")


@dataclass(frozen=True)
class ListedAnalysis:
    """One row of a list.

    Attributes:
        analysis: the job; veiled where the answer is hidden from the person.
        revealed: whether the person may see what the network said.
        label: the first label's name, or "" while hidden or missing.
        triage_group: likewise.
    """

    analysis: Analysis
    revealed: bool
    label: str
    triage_group: str


@dataclass(frozen=True)
class ListPage:
    """One page of a list."""

    rows: list[ListedAnalysis]
    page: KeysetPage[Analysis]


@dataclass(frozen=True)
class WorklistCounts:
    """How much waits in each tab, counted up to :data:`MOST_COUNTED` + 1."""

    review: int
    deferred: int
    waiting: int
    failed: int


TABS = ("review", "deferred", "waiting", "failed")


def worklist(user: User, *, tab: str, cursor: str = "") -> ListPage:
    """Return a page of one tab of the worklist.

    Args:
        user: who works.
        tab: ``review`` (worst triage group first, then oldest), ``deferred``, ``waiting`` or
            ``failed``.
        cursor: from an earlier page.

    The place in the list hints at an answer that is still hidden. A clinic may find that too much
    (``urgent_first`` off): its rows then all count as the worst group, which they may be, and only
    age orders them.
    """
    mine = Analysis.objects.visible_to(user).annotate(
        urgency=Case(
            When(clinic__blinded_first=True, clinic__urgent_first=False, then=0),
            default=F("triage_rank"),
            output_field=PositiveSmallIntegerField(),
        )
    )
    order: tuple[str, ...] = ("urgency", "created_at", "id")
    if tab == "deferred":
        rows = mine.filter(review_state=ReviewState.DEFERRED)
    elif tab == "waiting":
        rows, order = mine.filter(state__in=(State.QUEUED, State.RUNNING)), ("created_at", "id")
    elif tab == "failed":
        rows, order = mine.filter(state=State.FAILED), _NEWEST_FIRST
    else:
        rows = mine.needing_review()
    page = paginate(
        rows.for_lists(), order=order, cursor=cursor, size=settings.PAGE_SIZE, anchors=mine
    )
    return ListPage(list(_listed(page.rows, user)), page)


def worklist_counts(user: User) -> WorklistCounts:
    """Return how much waits in each tab, in four bounded queries."""
    mine = Analysis.objects.visible_to(user)
    return WorklistCounts(
        review=_count(mine.needing_review()),
        deferred=_count(mine.filter(review_state=ReviewState.DEFERRED)),
        waiting=_count(mine.filter(state__in=(State.QUEUED, State.RUNNING))),
        failed=_count(mine.filter(state=State.FAILED)),
    )


def _count(rows: AnalysisQuerySet) -> int:
    return rows.order_by()[: MOST_COUNTED + 1].count()


def history_rows(user: User, filters: dict[str, Any]) -> AnalysisQuerySet:
    """Return the analyses that match the filters, as far as the person may see them.

    A filter by label or decision finds only what is revealed to the person: an empty or full list
    would otherwise tell the answer. For the same reason a hidden rejection is found among what is
    done.
    """
    revealed = Analysis.objects.revealed_to(user)
    by_answer = filters.get("label") or filters.get("decision")
    rows = revealed if by_answer else Analysis.objects.visible_to(user)
    state = filters.get("state")
    if state == State.SUCCEEDED:
        hidden_rejection = Q(state=State.REJECTED) & ~Q(pk__in=revealed.values("pk"))
        rows = rows.filter(Q(state=State.SUCCEEDED) | hidden_rejection)
    elif state == State.REJECTED:
        rows = rows.filter(state=State.REJECTED, pk__in=revealed.values("pk"))
    elif state:
        rows = rows.filter(state=state)
    exact = {
        "top_label": filters.get("label"),
        "decision": filters.get("decision"),
        "patient": filters.get("patient"),
        "modality": filters.get("modality"),
        "review_state": filters.get("review"),
        "model_version": filters.get("version"),
        "last_reviewer": filters.get("reviewer"),
        "clinic": filters.get("clinic"),
    }
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if filters.get("q"):
        patients = Patient.objects.visible_to(user).matching(filters["q"])
        rows = rows.filter(patient__in=patients.values("pk"))
    if filters.get("since"):
        rows = rows.filter(created_at__gte=_start_of(filters["since"]))
    # The calendar's last day has no day after it.
    if filters.get("until") and filters["until"] < date.max:
        rows = rows.filter(created_at__lt=_start_of(filters["until"] + timedelta(days=1)))
    return rows


def history(user: User, filters: dict[str, Any], *, cursor: str = "") -> ListPage:
    """Return a page of the history, newest first."""
    page = paginate(
        history_rows(user, filters).for_lists(),
        order=_NEWEST_FIRST,
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=Analysis.objects.visible_to(user),
    )
    return ListPage(list(_listed(page.rows, user)), page)


def _start_of(day: Any) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


def _listed(rows: Iterable[Analysis], user: User) -> Iterator[ListedAnalysis]:
    rows = list(rows)
    revealed = set(
        Analysis.objects.revealed_to(user)
        .filter(pk__in=[row.pk for row in rows])
        .values_list("pk", flat=True)
    )
    for row in rows:
        if row.pk not in revealed:
            veil(row)
        label = LABEL_SETS[row.label_set].label(row.top_label) if row.top_label else None
        yield ListedAnalysis(
            row,
            row.pk in revealed,
            label.name if label else "",
            label.triage_group if label else "",
        )


# Rows that are read and told apart at once.
CSV_BATCH = 500
CSV_HEADER = (
    "analysis",
    "clinic",
    "record number",
    "patient",
    "modality",
    "lesion",
    "body site",
    "requested at",
    "state",
    "decision",
    "first label",
    "probability",
    "model version",
    "review",
    "reviewer",
    "final diagnosis",
)


def csv_rows(user: User, filters: dict[str, Any], *, most: int) -> Iterator[list[str]]:
    """Return the filtered history as rows of text, newest first; hidden answers stay hidden.

    Args:
        user: who exports.
        filters: as for :func:`history`.
        most: no more than so many rows.
    """
    rows = (
        history_rows(user, filters)
        .select_related(
            "patient", "clinic", "model_version", "last_reviewer", "image__lesion", "prediction"
        )
        .only(
            "id",
            "label_set",
            "modality",
            "created_at",
            "state",
            "decision",
            "top_label",
            "review_state",
            "clinic__name",
            "patient__record_number",
            "patient__name",
            "image__lesion__label",
            "image__lesion__body_site",
            "model_version__label_set",
            "model_version__version",
            "last_reviewer__email",
            "last_reviewer__first_name",
            "last_reviewer__last_name",
            "prediction__confidence",
        )
        .order_by(*_NEWEST_FIRST)[:most]
    )
    batch: list[Analysis] = []
    for row in rows.iterator(chunk_size=CSV_BATCH):
        batch.append(row)
        if len(batch) == CSV_BATCH:
            yield from _csv_batch(batch, user)
            batch = []
    yield from _csv_batch(batch, user)


def _csv_batch(rows: list[Analysis], user: User) -> Iterator[list[str]]:
    finals = _final_diagnoses(rows)
    for listed in _listed(rows, user):
        row = listed.analysis
        lesion = row.image.lesion
        known = listed.revealed and row.prediction is not None
        yield [
            str(row.pk),
            row.clinic.name,
            row.patient.record_number,
            row.patient.name,
            str(row.get_modality_display()),
            lesion.label if lesion else "",
            str(lesion.get_body_site_display()) if lesion else "",
            timezone.localtime(row.created_at).isoformat(timespec="seconds"),
            str(row.get_state_display()),
            str(row.get_decision_display()) if known else "",
            listed.label,
            percent_of(row.prediction.confidence) if known and row.prediction else "",
            row.model_version.version if row.model_version else "",
            str(row.get_review_state_display()) if row.prediction is not None else "",
            str(row.last_reviewer) if row.last_reviewer else "",
            finals.get(row.pk, "") if listed.revealed else "",
        ]


def _final_diagnoses(rows: list[Analysis]) -> dict[Any, str]:
    """Return the diagnosis of each analysis's last review, which may be none (deferred)."""
    label_sets = {row.pk: row.label_set for row in rows}
    reviews = Review.objects.filter(analysis__in=label_sets).order_by("number")
    return {
        review.analysis_id: diagnosis_name(
            review.diagnosis, review.diagnosis_text, label_sets[review.analysis_id]
        )
        for review in reviews.only("analysis_id", "number", "diagnosis", "diagnosis_text")
    }
