"""What was changed in a patient's record: each version of a row beside the one before it.

What is only ever appended has no versions: readings, outcomes and requests for second readings are
listed by their own rows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.choices import WAITING_STATES
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
from classifier.selectors.change_rows import listed_rows
from classifier.selectors.outcomes import LABELS
from classifier.selectors.results import diagnosis_name
from classifier.wording import label_name

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import Model

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
        told: the analysis of which it tells what somebody else thinks; None where it tells nothing.
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
    told: Analysis | None = None


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
    listed = listed_rows(patient, size=size + 1, skipped=(number - 1) * size)
    rows = [_change(line, user) for line in _lines(listed[:size], user)]
    return ChangesPage(
        rows=rows,
        next=str(number + 1) if len(listed) > size else "",
        previous=str(number - 1) if number > 1 else "",
    )


def _lines(listed: list[tuple[str, str, str | None, datetime]], user: User) -> list[_Line]:
    rows = [(kind, _row(kind, fact), _row(kind, before), at) for kind, fact, before, at in listed]
    everything = [(kind, row) for kind, *both, _at in rows for row in both if row is not None]
    keys = {_author(kind, row) for kind, row in everything}
    keys |= {_asked(row) for _kind, row in everything}
    people = User.objects.in_bulk(keys - {""})
    by_key = {str(key): person for key, person in people.items()}
    analyses = _analyses({row.analysis_id for kind, row in everything if kind in _JUDGEMENTS}, user)
    lesions = _lesions({getattr(row, "lesion_id", None) for _kind, row in everything}, user)
    for kind, row in everything:
        if kind in _JUDGEMENTS:
            row.analysis = analyses[row.analysis_id]
        if hasattr(row, "lesion_id"):
            row.lesion = lesions.get(row.lesion_id)
        if hasattr(row, "asked_id"):
            row.asked = by_key.get(_asked(row))
    return [
        _Line(
            kind=kind,
            version=row,
            # What follows a withdrawn outcome changes nothing: there was none.
            before=None if getattr(before, "withdrawn", False) else before,
            at=at,
            who=by_key.get(_author(kind, row)),
            hidden=_is_hidden(kind, row, user),
        )
        for kind, row, before, at in rows
    ]


def _row(kind: str, fact: str | None) -> Any:
    """Return the row, or the version of a row, that PostgreSQL told as JSON."""
    if fact is None:
        return None
    told = json.loads(fact)
    model = (
        _KINDS[kind][0]
        if kind in _AUTHORS
        else apps.get_model("classifier", f"{kind.title()}Event")
    )
    columns = model._meta.concrete_fields
    values = [column.to_python(told[str(column.column)]) for column in columns]
    return model.from_db(connection.alias, [column.attname for column in columns], values)


def _analyses(keys: Collection[Any], user: User) -> dict[Any, Analysis]:
    """Return analyses of a patient whom the person may see; ``is_revealed`` as in a list."""
    found = Analysis.objects.filter(pk__in=keys).for_lists(user)
    return {analysis.pk: analysis for analysis in found}


def _lesions(keys: Collection[Any], user: User) -> dict[Any, Lesion]:
    """Return lesions; ``is_unread`` where the person still has to read an image of it."""
    to_read = Q(prediction__isnull=False) | Q(state__in=WAITING_STATES)
    unread = Analysis.objects.filter(
        to_read, ~Analysis.objects.open_to(user), image__lesion=OuterRef("pk")
    )
    found = Lesion.objects.filter(pk__in=[key for key in keys if key is not None])
    return {lesion.pk: lesion for lesion in found.annotate(is_unread=Exists(unread))}


def _is_hidden(kind: str, row: Any, user: User) -> bool:
    """Tell whether a row says what the person may not know before their own reading.

    That is what others think of an image that is not revealed to them, and what a lesion turned
    out to be while they still have to read an image of it, as on the page of the result.
    """
    if kind == "outcome":
        return bool(row.lesion.is_unread)
    return kind in _JUDGEMENTS and not (row.analysis.is_revealed or _concerns(row, user))


def _concerns(row: Any, user: User) -> bool:
    """Tell whether a request is the person's own, or asks them by name."""
    return isinstance(row, ReadingRequest) and user.pk in {row.requested_by_id, row.asked_id}


def _author(kind: str, version: Any) -> str:
    if kind in _AUTHORS:
        return str(getattr(version, _AUTHORS[kind]) or "")
    if kind == "review":
        return str(version.reviewer_id)
    return str((version.pgh_context or {}).get("user", ""))


def _asked(row: Any) -> str:
    return str(getattr(row, "asked_id", None) or "")


def _change(line: _Line, user: User) -> Change:
    context = getattr(line.version, "pgh_context", None) or {}
    page = str(context.get("page", ""))
    judged = line.kind in _JUDGEMENTS
    tells = line.kind in {"review", "reading"} and not line.hidden and line.who != user
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
        told=line.version.analysis if tells and line.version.analysis.prediction_id else None,
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
        if line.kind == "outcome" and column.name == "number":
            continue
        new, old = _shown(version, column), _shown(before, column) if before is not None else ""
        if line.kind == "outcome" and column.name in {"lesion", "reason"}:
            # Each correction tells which lesion it is of, and its own reason.
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
