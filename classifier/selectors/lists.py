"""The worklist and the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import (
    Case,
    F,
    Func,
    IntegerField,
    OuterRef,
    PositiveSmallIntegerField,
    Q,
    Sum,
    Value,
    When,
)
from django.utils import timezone
from django.utils.translation import override

from classifier.choices import WAITING_STATES, Decision, Modality, ReviewState, State
from classifier.days import start_of
from classifier.models import LABEL_SET_OF, Analysis, BreakGlass, Clinic, Patient
from classifier.querysets.records import Ranking
from classifier.selectors.listed import ListedAnalysis, in_full, told_apart
from classifier.selectors.outcomes import outcome_name, standing_outcomes
from classifier.selectors.paging import KeysetPage, paginate_windows
from classifier.selectors.results import final_diagnoses, percent_of
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from classifier.models import User
    from classifier.querysets.analyses import AnalysisQuerySet
    from classifier.selectors.paging import Window

# A count beyond this is shown as "99+": nobody works through more in one sitting.
MOST_COUNTED = 99
_NEWEST_FIRST = ("-created_at", "-id")
# The place in the worklist hints at an answer that is still hidden. A clinic may find that too
# much (``urgent_first`` off): its rows then all count as the worst group, which they may be, and
# only age orders them. Clinic by clinic this is a column or a constant.
_BY_AGE = Q(blinded_first=True, urgent_first=False)
_RANK = PositiveSmallIntegerField()
_BY_URGENCY = Ranking(
    anywhere={
        "urgency": Case(
            When(clinic__blinded_first=True, clinic__urgent_first=False, then=0),
            default=F("triage_rank"),
            output_field=_RANK,
        )
    },
    by_clinic=(
        (~_BY_AGE, {"urgency": F("triage_rank")}),
        (_BY_AGE, {"urgency": Value(0, output_field=_RANK)}),
    ),
)


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


def worklist(
    user: User, *, tab: str, filters: dict[str, Any] | None = None, cursor: str = ""
) -> ListPage:
    """Return a page of one tab of the worklist.

    Args:
        user: who works.
        tab: ``review`` (worst triage group first, then oldest), ``deferred``, ``waiting`` or
            ``failed``.
        filters: ``mine`` (only what the person sent), ``modality`` and ``clinic``; each may be
            missing or empty.
        cursor: from an earlier page.
    """
    rows = _narrowed(tab_rows(tab), user, filters or {})
    order, ranking = {
        "waiting": (("created_at", "id"), Ranking()),
        # Who has waited longest leads here too.
        "failed": (("created_at", "id"), Ranking()),
    }.get(tab, (("urgency", "created_at", "id"), _BY_URGENCY))
    page = paginate_windows(
        _window(rows, user, ranking),
        order=order,
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=Analysis.objects.visible_to(user).annotate(**ranking.anywhere),
    )
    return ListPage(in_full(page.rows), page)


def tab_rows(tab: str) -> AnalysisQuerySet:
    """Return everybody's rows of a tab; of an unknown one, what must be reviewed."""
    rows = Analysis.objects.all()
    if tab == "deferred":
        return rows.filter(review_state=ReviewState.DEFERRED)
    if tab == "waiting":
        return rows.filter(state__in=WAITING_STATES)
    if tab == "failed":
        return rows.filter(state=State.FAILED)
    return rows.needing_review()


def _narrowed(rows: AnalysisQuerySet, user: User, filters: dict[str, Any]) -> AnalysisQuerySet:
    """Return the rows that the worklist's filters leave; none of them tells an answer."""
    exact = {
        "requested_by": user if filters.get("mine") else None,
        "modality": filters.get("modality"),
        "clinic": filters.get("clinic"),
    }
    return rows.filter(**{name: value for name, value in exact.items() if value})


def _window(rows: AnalysisQuerySet, user: User, ranking: Ranking | None = None) -> Window[Analysis]:
    """Return how a page of the rows is looked up, as far as the person may see them."""

    def window(order: Sequence[str], beyond: Q, most: int) -> Iterable[Analysis]:
        found = rows.first_visible_to(user, order=order, size=most, beyond=beyond, ranking=ranking)
        return found.for_lists(user)[:most]

    return window


def worklist_counts(user: User, *, filters: dict[str, Any] | None = None) -> WorklistCounts:
    """Return how much waits in each tab, in two bounded queries.

    Args:
        user: who works.
        filters: as for :func:`worklist`.
    """

    def counted(tab: str, **owner: Any) -> Sum:
        rows = _narrowed(tab_rows(tab), user, filters or {})
        keys = rows.filter(**owner).order_by().values("pk")[: MOST_COUNTED + 1]
        return Sum(Func(ArraySubquery(keys), function="cardinality", output_field=IntegerField()))

    clinics = Clinic.objects.visible_to(user).order_by()
    found = clinics.aggregate(**{tab: counted(tab, clinic_id=OuterRef("pk")) for tab in TABS})
    opened = BreakGlass.objects.active().filter(user_id=user.pk)
    # What the person sees anyway is counted already.
    more = opened.exclude(clinic__in=clinics.values("pk")).aggregate(
        **{tab: counted(tab, patient_id=OuterRef("patient_id")) for tab in TABS}
    )
    return WorklistCounts(
        **{tab: min((found[tab] or 0) + (more[tab] or 0), MOST_COUNTED + 1) for tab in TABS}
    )


def history_rows(user: User, filters: dict[str, Any]) -> AnalysisQuerySet:
    """Return the analyses that match the filters, as far as the person may see them."""
    return _matching(user, filters).visible_to(user)


def _matching(user: User, filters: dict[str, Any]) -> AnalysisQuerySet:
    """Return everybody's analyses that match the filters, as the person may be told.

    A filter by label or decision finds only what is revealed to the person: an empty or full list
    would otherwise tell the answer. For the same reason a hidden rejection is found among what is
    done.
    """
    rows = Analysis.objects.all()
    revealed = Analysis.objects.open_to(user)
    if filters.get("label") or filters.get("decision"):
        rows = rows.filter(revealed)
    state = filters.get("state")
    if _contradict(filters):
        # No index would tell in less time that nothing is both.
        return rows.none()
    if state == State.SUCCEEDED:
        # The first condition is in the second, and is one that an index serves.
        rows = rows.filter(state__in=(State.SUCCEEDED, State.REJECTED)).filter(
            Q(state=State.SUCCEEDED) | ~revealed
        )
    elif state == State.REJECTED:
        rows = rows.filter(revealed, state=State.REJECTED)
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
        patients = Patient.objects.all().matching(filters["q"])
        few = patients.few_keys()
        if few == []:
            return rows.none()
        chosen: Any = patients.order_by().values("pk") if few is None else few
        rows = rows.filter(patient__in=chosen)
    if filters.get("since"):
        rows = rows.filter(created_at__gte=start_of(filters["since"]))
    # The calendar's last day has no day after it.
    if filters.get("until") and filters["until"] < date.max:
        rows = rows.filter(created_at__lt=start_of(filters["until"] + timedelta(days=1)))
    return rows


def _contradict(filters: dict[str, Any]) -> bool:
    """Tell whether no analysis can match: its state or modality says what it must not be."""
    state, decision = filters.get("state"), filters.get("decision")
    if decision and state and (decision == Decision.REJECTED) != (state == State.REJECTED):
        return True
    label, modality = filters.get("label"), filters.get("modality")
    if not label or not modality:
        return False
    return label not in LABEL_SETS[LABEL_SET_OF[Modality(modality)]].keys


def history(user: User, filters: dict[str, Any], *, cursor: str = "") -> ListPage:
    """Return a page of the history, newest first."""
    page = paginate_windows(
        _window(_matching(user, filters), user),
        order=_NEWEST_FIRST,
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=Analysis.objects.visible_to(user),
    )
    return ListPage(in_full(page.rows), page)


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
    "outcome",
    "outcome known by",
    "outcome found on",
)


def csv_rows(user: User, filters: dict[str, Any], *, most: int) -> Iterator[list[str]]:
    """Return the filtered history as rows of text, newest first; hidden answers stay hidden.

    Args:
        user: who exports.
        filters: as for :func:`history`.
        most: no more than so many rows.
    """
    rows = (
        _matching(user, filters)
        .first_visible_to(user, order=_NEWEST_FIRST, size=most)
        .for_lists(user)
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
        )[:most]
    )
    batch: list[Analysis] = []
    for row in rows.iterator(chunk_size=CSV_BATCH):
        batch.append(row)
        if len(batch) == CSV_BATCH:
            yield from _in_english(batch)
            batch = []
    yield from _in_english(batch)


def _in_english(rows: list[Analysis]) -> list[list[str]]:
    """Return rows whose words, like the header's, do not depend on who fetches the file."""
    with override("en"):
        return list(_csv_batch(rows))


def _csv_batch(rows: list[Analysis]) -> Iterator[list[str]]:
    finals = final_diagnoses(rows)
    outcomes = standing_outcomes(row.image.lesion for row in rows if row.image.lesion)
    for listed in told_apart(rows):
        row = listed.analysis
        lesion = row.image.lesion
        known = listed.revealed and row.prediction is not None
        found = outcomes.get(lesion.pk) if lesion and listed.revealed else None
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
            outcome_name(found) if found else "",
            str(found.get_kind_display()) if found else "",
            found.found_on.isoformat() if found else "",
        ]
