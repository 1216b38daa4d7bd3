"""Registering patients and their lesions, and correcting what was written about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pghistory
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import BodySite, Sex, SkinType
from classifier.models import Clinic, Lesion, Patient
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError

if TYPE_CHECKING:
    import uuid
    from datetime import date

    from classifier.models import User

# The longest human life on record is 122 years.
_OLDEST = timedelta(days=130 * 366)
# What ``update_patient`` takes.
EDITABLE = (
    "record_number",
    "name",
    "date_of_birth",
    "sex",
    "skin_type",
    "notes",
    "archived",
)


class FieldRuleError(RuleError):
    """A rule forbids what one field says; ``field`` is its name."""

    def __init__(self, field: str, sentence: str) -> None:
        self.field = field
        super().__init__(sentence)


@dataclass(frozen=True)
class NewPatient:
    """A patient that is registered together with the first image of theirs.

    Attributes:
        key: drawn when the form was shown, so that sending the form twice registers once.
    """

    key: uuid.UUID
    clinic: Clinic
    record_number: str
    name: str
    date_of_birth: date | None = None
    sex: str = Sex.UNKNOWN
    skin_type: str = SkinType.UNKNOWN
    notes: str = ""


@dataclass(frozen=True)
class NewLesion:
    """A lesion that is recorded together with an image of it."""

    label: str
    body_site: str = BodySite.UNKNOWN
    first_seen: date | None = None


def register_patient(  # noqa: PLR0913 - a patient's facts, by keyword
    *,
    clinic: Clinic,
    by: User,
    record_number: str,
    name: str,
    date_of_birth: date | None = None,
    sex: str = Sex.UNKNOWN,
    skin_type: str = SkinType.UNKNOWN,
    notes: str = "",
    key: uuid.UUID | None = None,
) -> Patient:
    """Register a patient of the clinic.

    ``key`` is the new row's identifier, where the caller drew it beforehand.

    Raises:
        FieldRuleError: the number is taken, a date is impossible, or a name is missing.
        RuleError: the person may not write in the clinic.
    """
    _check_writes(clinic, by)
    patient = Patient(
        clinic=clinic,
        created_by=by,
        record_number=_required("record_number", record_number),
        name=_required("name", name),
        date_of_birth=_born(date_of_birth),
        sex=sex,
        skin_type=skin_type,
        notes=notes.strip(),
    )
    if key is not None:
        patient.pk = key
    try:
        with transaction.atomic():
            patient.save(force_insert=True)
            audit.record(action="patient.registered", actor=by, clinic=clinic, subject=patient)
    except IntegrityError as error:
        explained = _explained(error)
        if explained is None:
            raise
        raise explained from error
    return patient


def register_once(*, new: NewPatient, by: User) -> Patient:
    """Register ``new``, or return the row that the same form registered a moment ago.

    Raises:
        FieldRuleError: see :func:`register_patient`.
        RuleError: see :func:`register_patient`.
    """
    same_form = Patient.objects.writable_by(by).filter(
        pk=new.key, created_by=by, clinic=new.clinic, record_number=new.record_number.strip()
    )
    existing = same_form.first()
    if existing is not None:
        return existing
    try:
        return register_patient(
            clinic=new.clinic,
            by=by,
            record_number=new.record_number,
            name=new.name,
            date_of_birth=new.date_of_birth,
            sex=new.sex,
            skin_type=new.skin_type,
            notes=new.notes,
            key=new.key,
        )
    except FieldRuleError:
        # Two files of one form may arrive at the same moment: the other request was faster.
        existing = same_form.first()
        if existing is None:
            raise
        return existing


def update_patient(
    *, patient: Patient, by: User, seen: str = "", reason: str = "", **changes: Any
) -> Patient:
    """Change facts of a patient; facts that stay the same are not written and not audited.

    ``changes`` are new values of record_number, name, date_of_birth, sex, skin_type, notes and
    archived. ``seen`` is ``updated_at`` in ISO form of the row that the person saw; without it
    nothing is compared. ``reason`` is kept with the new version of the row.

    Raises:
        ConflictError: somebody changed the patient since; nothing was changed.
        FieldRuleError: the number is taken, a date is impossible, or a name is missing.
        RuleError: the person may not write in the patient's clinic.
        TypeError: a fact that cannot be changed is named.
    """
    unknown = set(changes) - set(EDITABLE)
    if unknown:
        msg = f"Not a patient's changeable facts: {sorted(unknown)}"
        raise TypeError(msg)
    _check_writes(patient.clinic, by)
    for name in ("record_number", "name"):
        if name in changes:
            changes[name] = _required(name, changes[name])
    if "date_of_birth" in changes:
        changes["date_of_birth"] = _born(changes["date_of_birth"])
    if "notes" in changes:
        changes["notes"] = changes["notes"].strip()
    try:
        with pghistory.context(reason=reason.strip()), transaction.atomic():
            locked = Patient.objects.select_for_update().get(pk=patient.pk)
            changed = [name for name in changes if getattr(locked, name) != changes[name]]
            if not changed:
                return locked
            _check_seen(locked, seen)
            for name in changed:
                setattr(locked, name, changes[name])
            locked.save(update_fields=[*changed, "updated_at"])
            _record_update(locked, by, changed)
    except IntegrityError as error:
        explained = _explained(error)
        if explained is None:
            raise
        raise explained from error
    return locked


def add_lesion(
    *,
    patient: Patient,
    by: User,
    label: str,
    body_site: str = BodySite.UNKNOWN,
    first_seen: date | None = None,
) -> Lesion:
    """Record a lesion of the patient.

    Raises:
        FieldRuleError: the label is missing or taken, or the date lies ahead.
        RuleError: the patient is archived, or the person may not write in the clinic.
    """
    check_open(patient, by)
    if first_seen is not None and first_seen > timezone.localdate():
        raise FieldRuleError("first_seen", _("This date lies in the future. Check the year."))
    lesion = Lesion(
        clinic_id=patient.clinic_id,
        patient=patient,
        label=_required("label", label),
        body_site=body_site,
        first_seen=first_seen,
        created_by=by,
    )
    try:
        with transaction.atomic():
            lesion.save(force_insert=True)
            audit.record(
                action="lesion.added", actor=by, clinic_id=patient.clinic_id, subject=lesion
            )
    except IntegrityError as error:
        if broken_constraint(error) != "lesion_label_unique":
            raise
        raise FieldRuleError(
            "label", _("This patient already has a lesion of this label. Choose it from the list.")
        ) from error
    return lesion


def lesion_once(*, patient: Patient, by: User, new: NewLesion) -> Lesion:
    """Return the patient's lesion of this label, recorded now if there was none.

    Raises:
        FieldRuleError: see :func:`add_lesion` and :func:`lesion_meant`.
        RuleError: see :func:`add_lesion`.
    """
    existing = lesion_meant(patient=patient, new=new)
    if existing is not None:
        return existing
    try:
        return add_lesion(
            patient=patient,
            by=by,
            label=new.label,
            body_site=new.body_site,
            first_seen=new.first_seen,
        )
    except FieldRuleError:
        # Two files of one form may arrive at the same moment: the other request was faster.
        existing = lesion_meant(patient=patient, new=new)
        if existing is None:
            raise
        return existing


def lesion_meant(*, patient: Patient, new: NewLesion) -> Lesion | None:
    """Return the patient's lesion of this label, if there is one.

    A form is sent once for each of its files, and an import names a lesion in many lines: all mean
    the same one. What is said of its site must agree, or a picture of one spot is filed under
    another.

    Raises:
        FieldRuleError: it is recorded at another site than the new one.
    """
    existing = Lesion.objects.filter(patient=patient, label=new.label.strip()).first()
    if existing is not None and new.body_site not in {BodySite.UNKNOWN, existing.body_site}:
        raise FieldRuleError(
            "label",
            _(
                "This patient already has a lesion of this label, recorded at another site or "
                "without one. Choose that one, or give the new one another label."
            ),
        )
    return existing


def check_open(patient: Patient, by: User) -> None:
    """Check that the person may add to the patient's record.

    Raises:
        RuleError: the patient is archived, or the person may not write in the clinic.
    """
    _check_writes(patient.clinic, by)
    if patient.archived:
        raise RuleError(
            _(
                "This patient is archived. Edit the patient and take the archive mark away "
                "before adding anything."
            )
        )


def _check_writes(clinic: Clinic, by: User) -> None:
    if not Clinic.objects.writable_by(by).filter(pk=clinic.pk).exists():
        raise RuleError(_("Your role in this clinic lets you look, not change anything."))


def _required(field: str, text: str) -> str:
    stripped = text.strip()
    if not stripped:
        raise FieldRuleError(field, _("This field is required."))
    return stripped


def _born(day: date | None) -> date | None:
    today = timezone.localdate()
    if day is not None and day > today:
        raise FieldRuleError("date_of_birth", _("This date lies in the future. Check the year."))
    if day is not None and today - day > _OLDEST:
        raise FieldRuleError(
            "date_of_birth", _("This date is more than 130 years ago. Check the year.")
        )
    return day


def _check_seen(patient: Patient, seen: str) -> None:
    if seen and seen != patient.updated_at.isoformat():
        raise ConflictError(
            _(
                "Somebody changed this patient while you were writing, and nothing of yours was "
                "saved. Open the page again and enter your changes anew."
            )
        )


def _record_update(patient: Patient, by: User, changed: list[str]) -> None:
    facts = [name for name in changed if name != "archived"]
    if facts:
        audit.record(
            action="patient.updated",
            actor=by,
            clinic_id=patient.clinic_id,
            subject=patient,
            fields=facts,
        )
    if "archived" in changed:
        action = "patient.archived" if patient.archived else "patient.restored"
        audit.record(action=action, actor=by, clinic_id=patient.clinic_id, subject=patient)


def broken_constraint(error: IntegrityError) -> str:
    """Return the name of the database constraint that was broken."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""


def _explained(error: IntegrityError) -> FieldRuleError | None:
    constraint = broken_constraint(error)
    if constraint == "patient_record_number_unique":
        return FieldRuleError(
            "record_number", _("This clinic already has a patient with this number.")
        )
    if constraint == "classifier_patient_pkey":
        # Somebody else's key: they are told nothing of whose.
        return FieldRuleError("record_number", _("The form is out of date. Open the page again."))
    return None
