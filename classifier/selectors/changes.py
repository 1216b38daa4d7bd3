"""What was changed in a patient's record: each version of a row beside the one before it.

What is only ever appended has no versions: readings, outcomes and requests for second readings are
listed by their own rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.models import (
    Analysis,
    Image,
    Lesion,
    Outcome,
    Patient,
    Reading,
    ReadingRequest,
    Review,
    User,
)
from classifier.selectors.outcomes import LABELS
from classifier.selectors.results import diagnosis_name
from classifier.wording import label_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import Model, QuerySet

_KINDS: dict[str, tuple[type[Model], Any]] = {
    "patient": (Patient, _("Patient")),
    "lesion": (Lesion, _("Lesion")),
    "image": (Image, _("Image")),
    "review": (Review, _("Review")),
    "reading": (Reading, _("Own reading")),
    "outcome": (Outcome, _("Outcome")),
    "request": (ReadingRequest, _("Request for a second reading")),
    "withdrawal": (ReadingRequest, _("Request for a second reading")),
}
# Who wrote a row that has no versions, and what is read with it.
_AUTHORS = {
    "reading": "reader_id",
    "outcome": "recorded_by_id",
    "request": "requested_by_id",
    "withdrawal": "withdrawn_by_id",
}
_ALONG: dict[str, tuple[str, ...]] = {
    "image": ("lesion",),
    "review": ("analysis",),
    "reading": ("analysis",),
    "outcome": ("lesion",),
    "request": ("analysis", "asked"),
    "withdrawal": ("analysis", "asked"),
}
_JUDGEMENTS = ("review", "reading", "request", "withdrawal")
_DEEDS = {
    "insert": _("added"),
    "update": _("changed"),
    "found": _("as it was when versions began to be kept"),
}
# Columns that say nothing to a reader, or what the line says anyway.
_SILENT = frozenset(
    {
        "id",
        "clinic",
        "patient",
        "analysis",
        "prediction",
        "created_by",
        "uploaded_by",
        "reviewer",
        "reader",
        "reading",
        "recorded_at",
        "recorded_by",
        "requested_by",
        "withdrawn",
        "withdrawn_at",
        "withdrawn_by",
        "created_at",
        "updated_at",
        "network_source_sha256",
        "original_sha256",
    }
)
# From which page. What is not named here is shown by the page's own name.
_PAGES = {
    "patient_create": _("when the patient was registered"),
    "patient_update": _("on the patient's form"),
    "lesion_create": _("on the patient's page"),
    "image_upload": _("when images were added"),
    "analysis_new": _("with a new analysis"),
    "review_create": _("on the result page"),
    "analysis_modality": _("on the result page"),
    "undo": _("with “Undo”, a moment later"),
    "admin:classifier_patient_change": _("in the admin panel"),
}
# Which versions and rows there are, and which one each follows: one scan of one patient's own rows.
_LISTED = """
SELECT kind, key, lag(key) OVER (PARTITION BY kind, thread ORDER BY place), at
FROM (
  SELECT 'patient' AS kind, pgh_id::text AS key, pgh_obj_id AS thread, pgh_id AS place,
    pgh_created_at AS at
    FROM classifier_patientevent WHERE pgh_obj_id = %(patient)s
  UNION ALL
  SELECT 'lesion', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
    FROM classifier_lesionevent WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'image', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
    FROM classifier_imageevent WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'review', pgh_id::text, pgh_obj_id, pgh_id, pgh_created_at
    FROM classifier_reviewevent
    WHERE analysis_id IN (SELECT id FROM classifier_analysis WHERE patient_id = %(patient)s)
  UNION ALL
  SELECT 'reading', id::text, id, 0, created_at
    FROM classifier_reading
    WHERE analysis_id IN (SELECT id FROM classifier_analysis WHERE patient_id = %(patient)s)
  UNION ALL
  SELECT 'outcome', id::text, lesion_id, number, recorded_at
    FROM classifier_outcome WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'request', id::text, id, 0, created_at
    FROM classifier_readingrequest WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'withdrawal', id::text, id, 0, withdrawn_at
    FROM classifier_readingrequest
    WHERE patient_id = %(patient)s AND withdrawn_at IS NOT NULL
) AS versions
ORDER BY at DESC, kind, place DESC, key
LIMIT %(size)s OFFSET %(skipped)s
"""
# Further than this nobody pages by hand.
_LAST_PAGE = 10_000


@dataclass(frozen=True)
class Change:
    """One version of one row.

    Attributes:
        at: when it was written.
        who: the person, or None for the system.
        what: "Patient", "Lesion", "Image", "Review", ...
        deed: "added", "changed" or "withdrawn".
        where: from which page; empty where none is known.
        why: the reason that was given; empty where none was.
        facts: (name, before, after) of each column that differs.
        hidden: it is about an image that the reader must read first.
        result: address of the result that it is about; empty where it is about none.
    """

    at: Any
    who: User | None
    what: str
    deed: str
    where: str
    why: str
    facts: list[tuple[str, str, str]]
    hidden: bool = False
    result: str = ""


@dataclass(frozen=True)
class _Line:
    """One line of the list before it is put into words.

    Attributes:
        kind: of :data:`_KINDS`.
        version: the row, or its version.
        before: the one that it follows, or None.
        at: when it was written.
        who: wrote it; None for the system.
        hidden: see :class:`Change`.
    """

    kind: str
    version: Any
    before: Any
    at: datetime
    who: User | None
    hidden: bool


@dataclass(frozen=True)
class ChangesPage:
    """One page of changes; ``next`` and ``previous`` are numbers of pages, or empty."""

    rows: list[Change]
    next: str
    previous: str

    @property
    def has_others(self) -> bool:
        """Whether there is anything to page to."""
        return bool(self.next or self.previous)


def changes(patient: Patient, user: User, *, cursor: str = "") -> ChangesPage:
    """Return a page of the changes of a patient's record, newest first.

    Args:
        patient: one that ``user`` may see.
        user: who reads; what may tell an answer that is hidden from them stays hidden.
        cursor: the number of the page.
    """
    number = int(cursor) if cursor.isascii() and cursor.isdigit() else 1
    number = min(max(number, 1), _LAST_PAGE)
    size = settings.PAGE_SIZE
    with connection.cursor() as found:
        found.execute(
            _LISTED,
            {"patient": patient.pk, "size": size + 1, "skipped": (number - 1) * size},
        )
        listed = found.fetchall()
    rows = [_change(line) for line in _lines(listed[:size], user)]
    return ChangesPage(
        rows=rows,
        next=str(number + 1) if len(listed) > size else "",
        previous=str(number - 1) if number > 1 else "",
    )


def _lines(listed: list[tuple[str, str, str | None, datetime]], user: User) -> list[_Line]:
    wanted: dict[str, set[str]] = defaultdict(set)
    for kind, key, before, _at in listed:
        wanted[kind] |= {key} | ({before} if before is not None else set())
    versions = {
        kind: {str(key): row for key, row in _rows(kind).in_bulk(keys).items()}
        for kind, keys in wanted.items()
    }
    people = User.objects.in_bulk(
        {_author(kind, row) for kind, found in versions.items() for row in found.values()} - {""}
    )
    by_key = {str(key): person for key, person in people.items()}
    hidden = _hidden_from(user, versions)
    return [
        _Line(
            kind=kind,
            version=versions[kind][key],
            before=versions[kind][before] if before is not None else None,
            at=at,
            who=by_key.get(_author(kind, versions[kind][key])),
            hidden=(kind, key) in hidden,
        )
        for kind, key, before, at in listed
    ]


def _hidden_from(user: User, versions: Mapping[str, Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Return the (kind, key) of what the person may not know before their own reading.

    That is what others think of an image that is not revealed to them, and what a lesion turned
    out to be while they still have to read an image of it, as on the page of the result.
    """
    judged = {row.analysis_id for kind in _JUDGEMENTS for row in versions.get(kind, {}).values()}
    revealed: set[Any] = set()
    if judged:
        shown = Analysis.objects.revealed_to(user).filter(pk__in=judged)
        revealed = set(shown.values_list("pk", flat=True))
    lesions = {row.lesion_id for row in versions.get("outcome", {}).values()}
    unread: set[Any] = set()
    if lesions:
        closed = Analysis.objects.filter(
            ~Analysis.objects.open_to(user), prediction__isnull=False, image__lesion__in=lesions
        )
        unread = set(closed.values_list("image__lesion", flat=True))
    return {
        (kind, key)
        for kind, found in versions.items()
        for key, row in found.items()
        if (kind in _JUDGEMENTS and row.analysis_id not in revealed and not _concerns(row, user))
        or (kind == "outcome" and row.lesion_id in unread)
    }


def _concerns(row: Any, user: User) -> bool:
    """Tell whether a request is the person's own, or asks them by name."""
    return isinstance(row, ReadingRequest) and user.pk in {row.requested_by_id, row.asked_id}


def _rows(kind: str) -> QuerySet[Any]:
    """Return the rows or versions of one kind, with what is shown of other rows."""
    found: QuerySet[Any] = (
        _KINDS[kind][0]._default_manager.all()
        if kind in _AUTHORS
        else apps.get_model("classifier", f"{kind.title()}Event").objects.all()
    )
    return found.select_related(*_ALONG[kind]) if kind in _ALONG else found


def _author(kind: str, version: Any) -> str:
    if kind in _AUTHORS:
        return str(getattr(version, _AUTHORS[kind]) or "")
    return str((version.pgh_context or {}).get("user", ""))


def _change(line: _Line) -> Change:
    context = getattr(line.version, "pgh_context", None) or {}
    page = str(context.get("page", ""))
    judged = line.kind in _JUDGEMENTS
    return Change(
        at=line.at,
        who=line.who,
        what=str(_KINDS[line.kind][1]),
        deed=_deed(line),
        where=str(_PAGES.get(page, page)),
        why=str(context.get("reason", "")),
        facts=[] if line.hidden else _facts(line),
        hidden=line.hidden,
        result=line.version.analysis.get_absolute_url() if judged else "",
    )


def _deed(line: _Line) -> str:
    if line.kind == "withdrawal" or getattr(line.version, "withdrawn", False):
        return str(_("withdrawn"))
    label = getattr(line.version, "pgh_label", "insert" if line.before is None else "update")
    return str(_DEEDS.get(label, label))


def _facts(line: _Line) -> list[tuple[str, str, str]]:
    model, version, before = _KINDS[line.kind][0], line.version, line.before
    facts = []
    for column in version._meta.concrete_fields:
        if column.name.startswith("pgh_") or column.name in _SILENT:
            continue
        new, old = _shown(version, column), _shown(before, column) if before is not None else ""
        if line.kind == "outcome" and column.name == "lesion":
            # Which one is told of a correction too.
            old = ""
        if new != old:
            facts.append(
                (
                    str(getattr(model._meta.get_field(column.name), "verbose_name", column.name)),
                    old,
                    new,
                )
            )
    return facts


def _shown(version: Any, column: Any) -> str:
    if column.choices:
        return str(getattr(version, f"get_{column.name}_display")())
    if column.name == "diagnosis":
        return _diagnosis(version)
    if column.name == "lesion":
        return str(version.lesion.label) if version.lesion is not None else ""
    if column.name == "asked":
        return str(version.asked or _("anybody"))
    return _plain(getattr(version, column.attname))


def _diagnosis(version: Any) -> str:
    # What the words of "other" are, is told in a column of its own.
    other = str(_("other"))
    if isinstance(version, Outcome):
        label = LABELS.get(version.diagnosis)
        return label_name(label) if label else other
    return diagnosis_name(version.diagnosis, other, version.analysis.label_set)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M")
    return "" if value is None else str(value)
