"""Taking back what a person did a moment ago, where that harms nothing.

Each deed here has an opposite that is a deed of its own: it asks for the same permissions, is
refused once anybody changed what it is about, and leaves its own line in the history. What is
appended for ever (readings, reviews, outcomes, consents), what ends somebody's access and what
erases has none; a modality is corrected back by its own form, with its own reason.
"""

from __future__ import annotations

from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from classifier.models import Patient, ReadingRequest, SavedFilter
from classifier.services.errors import RuleError
from classifier.services.patient_versions import set_back
from classifier.services.saved_filters import rename_filter, restore_filter
from classifier.services.second_readings import ask_again

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.db.models import Model

    from classifier.models import User
    from classifier.querysets.records import ClinicOwnedQuerySet


def take_back(*, deed: str, facts: Mapping[str, str], by: User) -> str:
    """Do the opposite of a deed, and return the sentence that says so.

    Args:
        deed: a key of ``DEEDS``.
        facts: what the deed's function below needs, as text; no patient's name among it.
        by: who did the deed.

    Raises:
        RuleError: it cannot be undone any more, with the sentence that says why.
    """
    return DEEDS[deed](facts, by)


def _unremove(facts: Mapping[str, str], by: User) -> str:
    saved = restore_filter(
        by=by,
        key=facts["key"],
        page=facts["page"],
        name=facts["name"],
        query=facts["query"],
        created_at=datetime.fromisoformat(facts["created_at"]),
    )
    return _("“%(name)s” is back.") % {"name": saved.name}


def _unrename(facts: Mapping[str, str], by: User) -> str:
    saved = SavedFilter.objects.visible_to(by).filter(pk=facts["key"]).first()
    if saved is None:
        raise RuleError(_("This filter was removed meanwhile."))
    rename_filter(saved=saved, name=facts["name"], seen=facts["seen"])
    return _("The filter has its old name again.")


def _unedit(facts: Mapping[str, str], by: User) -> str:
    patient = _writable(Patient.objects.select_related("clinic"), by, facts["key"])
    set_back(patient=patient, by=by, seen=facts["seen"])
    return _("The patient's facts are as they were before.")


def _unwithdraw(facts: Mapping[str, str], by: User) -> str:
    request = _writable(
        ReadingRequest.objects.select_related("analysis__image", "asked"), by, facts["key"]
    )
    ask_again(request=request, by=by)
    return _("The second reading is asked for again.")


def _writable(rows: ClinicOwnedQuerySet[Any], by: User, key: str) -> Any:
    """Return the row that the person may still change.

    Raises:
        RuleError: it is gone, or not theirs to change any more; they are not told which.
    """
    row: Model | None = rows.writable_by(by).filter(pk=key).first()
    if row is None:
        raise RuleError(_("It is not there any more, or no longer yours to change."))
    return row


DEEDS: Mapping[str, Callable[[Mapping[str, Any], User], str]] = MappingProxyType(
    {
        "filter_removed": _unremove,
        "filter_renamed": _unrename,
        "patient_updated": _unedit,
        "second_reading_withdrawn": _unwithdraw,
    }
)
