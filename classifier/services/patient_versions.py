"""Setting a patient's facts back to the version before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.utils.translation import gettext as _

from classifier.services.errors import ConflictError
from classifier.services.patients import EDITABLE, update_patient

if TYPE_CHECKING:
    from classifier.models import Patient, User


def set_back(*, patient: Patient, by: User, seen: str) -> Patient:
    """Give a patient the facts that ``by`` changed last back, as one more change.

    The facts come from the versions that the database keeps, so that nobody has to carry them.

    Args:
        patient: with its clinic.
        by: who made the newest version.
        seen: ``updated_at`` of that version in ISO form.

    Raises:
        ConflictError: somebody changed the patient since; nothing was changed.
        FieldRuleError: another patient has the former number by now.
        RuleError: the person may not write in the patient's clinic any more.
    """
    # The trigger makes its model when the application starts; it is nowhere to be imported from.
    versions: Any = apps.get_model("classifier", "PatientEvent")
    newest = list(versions.objects.filter(pgh_obj_id=patient.pk).order_by("-pgh_id")[:2])
    changed = ConflictError(_("Somebody has changed this patient since. Nothing was changed back."))
    if len(newest) < _TWO:
        raise changed
    standing, before = newest
    author = (standing.pgh_context or {}).get("user")
    if standing.updated_at.isoformat() != seen or author != str(by.pk):
        raise changed
    try:
        # The row is locked and compared with ``seen`` once more before it is written.
        return update_patient(
            patient=patient, by=by, seen=seen, **{name: getattr(before, name) for name in EDITABLE}
        )
    except ConflictError as error:
        raise changed from error


# The version that stands, and the one before it.
_TWO = 2
