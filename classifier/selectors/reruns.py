"""What the page of a comparison shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import Count, F, Q
from django.utils.translation import gettext as _

from classifier.choices import Decision, RerunRowState, TriageChange
from classifier.models import RerunRow
from classifier.selectors.paging import paginate
from mlcore.labels import TRIAGE_ORDER, label_set

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import QuerySet

    from classifier.models import RerunRun, User
    from classifier.selectors.paging import KeysetPage

# A switch would be felt in these; the first two are what it is decided by.
CHANGES = (
    TriageChange.DOWN,
    TriageChange.UP,
    TriageChange.TO_CANNOT_SAY,
    TriageChange.TO_REJECTED,
    TriageChange.TO_ANSWER,
)
CSV_HEADER = (
    "case",
    "image",
    "clinic",
    "requested",
    "version before",
    "decision before",
    "first label before",
    "triage group before",
    "version",
    "decision",
    "first label",
    "triage group",
    "change",
)


@dataclass(frozen=True)
class Totals:
    """What a comparison has found so far.

    Attributes:
        cases: how many are compared.
        judged: how many have been judged.
        failed: how many cannot be judged.
        labels: of how many the first label differs.
        triage: of how many the triage group, or whether there is an answer, differs.
        changes: (which change, its word, of how many), in the order of :data:`CHANGES`.
        hidden: how many cases the viewer must read first. Labels, triage and changes leave them
            out: compared with another period they would tell what one of them is.
    """

    cases: int
    judged: int
    failed: int
    labels: int
    triage: int
    changes: list[tuple[str, str, int]]
    hidden: int = 0

    @property
    def done(self) -> int:
        """How many are settled, one way or the other."""
        return self.judged + self.failed


@dataclass(frozen=True)
class Side:
    """One network's word on a case.

    Attributes:
        decision: see ``Decision``.
        label: name of the first label.
        group: the worst plausible triage group, where there is an answer; else "". Of "cannot say"
            no row keeps the reason, and where that is that the picture is unlike what the network
            knows, its group says nothing.
    """

    decision: str
    label: str
    group: str


@dataclass(frozen=True)
class Case:
    """A case that a switch would change.

    Attributes:
        row: with its analysis and patient.
        before: what is on record.
        after: what the version says.
        change: the difference in words.
    """

    row: RerunRow
    before: Side
    after: Side
    change: str


@dataclass(frozen=True)
class CasePage:
    """Cases of a comparison for one person.

    Attributes:
        page: the rows.
        cases: the same in words.
    """

    page: KeysetPage[RerunRow]
    cases: list[Case]


def totals_of(run: RerunRun, user: User | None = None) -> Totals:
    """Return what a comparison has found so far.

    Args:
        run: a comparison that the person sees.
        user: who looks. What they must read first is counted only as that; of clinics whose cases
            they never see they get totals. None for all, where an operator's command asks.
    """
    done = Q(state=RerunRowState.DONE)
    rows = RerunRow.objects.filter(run=run)
    unread = rows.none()
    if user is not None:
        unread = rows.visible_to(user).exclude(pk__in=rows.revealed_to(user).values("pk"))
    so_far = rows.aggregate(
        cases=Count("pk"),
        judged=Count("pk", filter=done),
        failed=Count("pk", filter=Q(state=RerunRowState.FAILED)),
        hidden=Count("pk", filter=Q(pk__in=unread.values("pk"))),
    )
    told = rows.exclude(pk__in=unread.values("pk")) if so_far["hidden"] else rows
    counts = {change.value: Count("pk", filter=Q(change=change)) for change in CHANGES}
    found = told.filter(done).aggregate(
        labels=Count("pk", filter=~Q(label=F("before_label"))), **counts
    )
    return Totals(
        cases=so_far["cases"],
        judged=so_far["judged"],
        failed=so_far["failed"],
        hidden=so_far["hidden"],
        labels=found["labels"],
        triage=sum(found[change.value] for change in CHANGES),
        changes=[(one.value, str(one.label), found[one.value]) for one in CHANGES],
    )


def versions_before(run: RerunRun) -> list[tuple[str, int]]:
    """Return by which versions the cases were answered, and how many each: most first."""
    found = run.rows.order_by().values_list("before_version__version")
    return list(found.annotate(count=Count("pk")).order_by("-count", "before_version__version"))


def changed_cases(run: RerunRun, user: User, *, change: str = "", cursor: str = "") -> CasePage:
    """Return the cases whose triage group would change, as far as the person may see them.

    Worst group before first. A case that the person must read first is not among them: what would
    change tells what the answer is.

    Args:
        run: a comparison that the person sees.
        user: who looks.
        change: one of :data:`CHANGES`, or "" for all of them.
        cursor: of another page.
    """
    page = paginate(
        _with_case(_changed(run, change).revealed_to(user)),
        order=("before_rank", "id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
    )
    return CasePage(page=page, cases=[case_of(run, row) for row in page])


def csv_rows(run: RerunRun, user: User | None) -> Iterator[tuple[Any, ...]]:
    """Yield a line for each case whose triage group would change; columns of :data:`CSV_HEADER`.

    Args:
        run: a comparison that the person sees.
        user: whose cases; None for all, where an operator's command asks.
    """
    rows = _changed(run, "")
    if user is not None:
        rows = rows.revealed_to(user)
    for row in _with_case(rows).order_by("before_rank", "id").iterator(chunk_size=500):
        case = case_of(run, row)
        yield (
            row.analysis_id,
            row.analysis.image_id,
            row.clinic.name,
            row.analysis.created_at.isoformat(timespec="seconds"),
            row.before_version.version,
            case.before.decision,
            row.before_label,
            case.before.group,
            run.version.version,
            case.after.decision,
            row.label,
            case.after.group,
            row.change,
        )


def comparisons_of(version: Any, user: User) -> QuerySet[RerunRun]:
    """Return the latest comparisons of a version that the person may see."""
    runs: QuerySet[RerunRun] = version.reruns.visible_to(user).select_related("clinic")
    return runs[:10]


def case_of(run: RerunRun, row: RerunRow) -> Case:
    """Return a row in words."""
    key = run.version.label_set
    return Case(
        row=row,
        before=_side(key, row.before_decision, row.before_label, row.before_rank),
        after=_side(key, row.decision, row.label, row.rank or 0),
        change=str(TriageChange(row.change).label),
    )


def whose(run: RerunRun) -> str:
    """Return whose cases a comparison is about."""
    return str(run.clinic or _("All clinics"))


def _changed(run: RerunRun, change: str) -> Any:
    wanted = [change] if change in {one.value for one in CHANGES} else list(CHANGES)
    return RerunRow.objects.filter(run=run, state=RerunRowState.DONE, change__in=wanted)


def _with_case(rows: Any) -> Any:
    return rows.select_related("analysis__patient", "clinic", "before_version").only(
        *(field.name for field in RerunRow._meta.concrete_fields),
        "analysis__image_id",
        "analysis__created_at",
        "analysis__patient__name",
        "analysis__patient__record_number",
        "clinic__name",
        "before_version__version",
    )


def _side(key: str, decision: str, label: str, rank: int) -> Side:
    return Side(
        decision=decision,
        label=label_set(key).label(label).name,
        group=TRIAGE_ORDER[rank] if decision == Decision.ANSWER else "",
    )
