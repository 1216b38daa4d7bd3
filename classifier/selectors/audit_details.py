"""What may stand beside an event of the audit trail, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.utils.translation import gettext_lazy as _

from classifier.choices import ConsentUse, Modality, NoticePace, Role, RowState, Scope, label_of
from classifier.wording import network_name
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from classifier.models import AuditEvent

# A verdict or a diagnosis is none of these: who reads the trail may still have to read the image
# themselves.
_TOLD: dict[str, Any] = {
    "address": _("Network address"),
    "attempt": _("Attempt"),
    "before": _("Before"),
    "code": _("Code"),
    "fields": _("Fields"),
    "filters": _("Filters"),
    "format": _("Format"),
    "images": _("Images"),
    # Each count has a name of its own.
    "counts": "",
    "label_set": _("Network"),
    "made_at": _("Moment of the backup"),
    "modality": _("Modality"),
    "pace": _("How often"),
    "role": _("Role"),
    "rows": _("Rows"),
    "scopes": _("Scopes"),
    "token": _("API token"),
    "type": _("Kind"),
    "until": _("Valid until"),
    "use": _("Use"),
    "variant": _("Copy"),
    "version": _("Version"),
    "worker": _("Worker"),
}
_COUNTED: dict[str, Any] = {
    "lines": _("Lines"),
    "cases": _("Cases"),
    "files": _("Files"),
    "sessions": _("Sessions ended"),
    "tokens": _("API tokens revoked"),
    **{state.value: state.label for state in RowState},
}
_LOOKED_AT: dict[str, Any] = {
    "images": _("Images"),
    "files": _("Files"),
    "analyses": _("Analyses"),
    "releases": _("Model versions"),
    "archives": _("Archives of old images"),
}
# Filters of the lists that can be exported.
_FILTERS: dict[str, Any] = {
    "q": _("Patient"),
    "patient": _("Patient"),
    "label": _("First label"),
    "decision": _("Decision"),
    "modality": _("Modality"),
    "state": _("State"),
    "review": _("Review"),
    "version": _("Model version"),
    "reviewer": _("Reviewer"),
    "clinic": _("Clinic"),
    "since": _("From"),
    "until": _("To"),
}
_VALUES: dict[str, dict[str, Any]] = {
    "type": {
        "totp": _("Authenticator app"),
        "webauthn": _("Security key"),
        "recovery_codes": _("Recovery codes"),
    },
    "variant": {"display": _("large"), "thumbnail": _("small")},
}
_VOCABULARIES: dict[str, Callable[[str], str]] = {
    "modality": lambda value: label_of(Modality, value),
    "pace": lambda value: label_of(NoticePace, value),
    "role": lambda value: label_of(Role, value),
    "scopes": lambda value: label_of(Scope, value),
    "use": lambda value: label_of(ConsentUse, value),
    "label_set": lambda value: network_name(value) if value in LABEL_SETS else value,
    "filters": lambda value: str(_FILTERS.get(value, value)),
}
# "Before" is of the same kind as what came after it.
_AFTER = {"image.modality_corrected": "modality", "notices.changed": "pace"}


def details_of(event: AuditEvent) -> list[tuple[str, str]]:
    """Return (name, value) of each fact of an event that gives no answer away."""
    if event.action == "integrity.checked":
        return _checked(event.details)
    told = []
    for name, words in _TOLD.items():
        value = event.details.get(name)
        if not value:
            continue
        if isinstance(value, dict):
            told += [(str(_COUNTED.get(key, key)), _plain(count)) for key, count in value.items()]
        else:
            kind = _AFTER.get(event.action, name) if name == "before" else name
            several = value if isinstance(value, list) else [value]
            # What a token may do has commas of its own.
            between = "; " if kind == "scopes" else ", "
            told.append((str(words), between.join(_word(event, kind, each) for each in several)))
    return told


def _checked(details: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what was looked at, and what came out, also where that is nothing."""
    seen, found = details.get("looked_at") or {}, details.get("findings") or {}
    return [
        *((str(words), str(seen[key])) for key, words in _LOOKED_AT.items() if key in seen),
        (str(_("Findings")), str(sum(found.values()))),
        *((code, str(count)) for code, count in found.items()),
        (str(_("Orphan files removed")), str(details.get("swept") or 0)),
    ]


def _word(event: AuditEvent, kind: str, value: Any) -> str:
    plain = _plain(value)
    if kind == "fields":
        return _field_name(event.subject_type, plain)
    if kind in _VOCABULARIES:
        return _VOCABULARIES[kind](plain)
    return str(_VALUES.get(kind, {}).get(plain, plain))


def _plain(value: Any) -> str:
    """Return a value without the marks of a program, however deep it lies."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return str(value)


def _field_name(subject_type: str, name: str) -> str:
    """Return a column as people call it; its own name where the row is of another time."""
    try:
        column = apps.get_model("classifier", subject_type)._meta.get_field(name)
    except (LookupError, FieldDoesNotExist, ValueError):
        return name
    return str(getattr(column, "verbose_name", name))
