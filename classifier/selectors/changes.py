"""What was changed in a patient's record: each version of a row beside the one before it."""

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

from classifier.models import Analysis, Image, Lesion, Patient, Review, User
from classifier.selectors.results import diagnosis_name

if TYPE_CHECKING:
    from django.db.models import Model, QuerySet

_KINDS: dict[str, tuple[type[Model], Any]] = {
    "patient": (Patient, _("Patient")),
    "lesion": (Lesion, _("Lesion")),
    "image": (Image, _("Image")),
    "review": (Review, _("Review")),
}
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
# Which versions there are, and which one each follows: one scan of one patient's own rows.
_LISTED = """
SELECT kind, pgh_id, lag(pgh_id) OVER (PARTITION BY kind, pgh_obj_id ORDER BY pgh_id)
FROM (
  SELECT 'patient' AS kind, pgh_id, pgh_obj_id, pgh_created_at FROM classifier_patientevent
    WHERE pgh_obj_id = %(patient)s
  UNION ALL
  SELECT 'lesion', pgh_id, pgh_obj_id, pgh_created_at FROM classifier_lesionevent
    WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'image', pgh_id, pgh_obj_id, pgh_created_at FROM classifier_imageevent
    WHERE patient_id = %(patient)s
  UNION ALL
  SELECT 'review', pgh_id, pgh_obj_id, pgh_created_at FROM classifier_reviewevent
    WHERE analysis_id IN (SELECT id FROM classifier_analysis WHERE patient_id = %(patient)s)
) AS versions
ORDER BY pgh_created_at DESC, kind, pgh_id DESC
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
        what: "Patient", "Lesion", "Image" or "Review".
        deed: "added" or "changed".
        where: from which page; empty where none is known.
        why: the reason that was given; empty where none was.
        facts: (name, before, after) of each column that differs.
        hidden: it is a review of an answer that the reader must not know yet.
    """

    at: Any
    who: User | None
    what: str
    deed: str
    where: str
    why: str
    facts: list[tuple[str, str, str]]
    hidden: bool = False


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
        user: who reads; reviews of answers that are hidden from them stay hidden.
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
    rows = [_change(*told) for told in _told(listed[:size], user)]
    return ChangesPage(
        rows=rows,
        next=str(number + 1) if len(listed) > size else "",
        previous=str(number - 1) if number > 1 else "",
    )


def _told(
    listed: list[tuple[str, int, int | None]], user: User
) -> list[tuple[str, Any, Any, User | None, bool]]:
    """Return (kind, version, version before, person, whether hidden) of each line."""
    wanted: dict[str, set[int]] = defaultdict(set)
    for kind, key, before in listed:
        wanted[kind] |= {key} | ({before} if before is not None else set())
    versions = {kind: _rows(kind).in_bulk(keys) for kind, keys in wanted.items()}
    people = User.objects.in_bulk(
        {_author(version) for found in versions.values() for version in found.values()} - {""}
    )
    by_key = {str(key): person for key, person in people.items()}
    judged = {version.analysis_id for version in versions.get("review", {}).values()}
    revealed = (
        set(Analysis.objects.revealed_to(user).filter(pk__in=judged).values_list("pk", flat=True))
        if judged
        else set()
    )
    lines = []
    for kind, key, before in listed:
        version = versions[kind][key]
        hidden = kind == "review" and version.analysis_id not in revealed
        former = versions[kind][before] if before is not None else None
        lines.append((kind, version, former, by_key.get(_author(version)), hidden))
    return lines


def _rows(kind: str) -> QuerySet[Any]:
    """Return the versions of one kind of row, with what is shown of other rows."""
    found: QuerySet[Any] = apps.get_model("classifier", f"{kind.title()}Event").objects.all()
    others = {"image": "lesion", "review": "analysis"}
    return found.select_related(others[kind]) if kind in others else found


def _author(version: Any) -> str:
    return str((version.pgh_context or {}).get("user", ""))


def _change(kind: str, version: Any, before: Any, who: User | None, hidden: bool) -> Change:  # noqa: FBT001 - unpacked from a row
    context = version.pgh_context or {}
    page = str(context.get("page", ""))
    model, name = _KINDS[kind]
    return Change(
        at=version.pgh_created_at,
        who=who,
        what=str(name),
        deed=str(_DEEDS.get(version.pgh_label, version.pgh_label)),
        where=str(_PAGES.get(page, page)),
        why=str(context.get("reason", "")),
        facts=[] if hidden else _facts(model, version, before),
        hidden=hidden,
    )


def _facts(model: type[Model], version: Any, before: Any) -> list[tuple[str, str, str]]:
    facts = []
    for column in version._meta.concrete_fields:
        if column.name.startswith("pgh_") or column.name in _SILENT:
            continue
        new, old = _shown(version, column), _shown(before, column) if before is not None else ""
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
        # What the words of "other" are, is told in a column of its own.
        other = str(_("other"))
        return diagnosis_name(version.diagnosis, other, version.analysis.label_set)
    if column.name == "lesion":
        return str(version.lesion.label) if version.lesion is not None else ""
    value = getattr(version, column.attname)
    if isinstance(value, bool):
        return str(_("yes") if value else _("no"))
    if isinstance(value, datetime):
        return timezone.localtime(value).strftime("%Y-%m-%d %H:%M")
    return "" if value is None else str(value)
