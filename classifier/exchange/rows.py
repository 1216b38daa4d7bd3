"""What one line of an import's table asks for, checked against the clinic's records."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from django.core.files.base import ContentFile
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from classifier.choices import BodySite, Modality
from classifier.exchange.identity import name_words
from classifier.models import Patient
from classifier.services.errors import RuleError
from classifier.services.images import EARLIEST
from classifier.services.patients import NewLesion, NewPatient

if TYPE_CHECKING:
    from classifier.models import Clinic

_MOST_NUMBER, _MOST_NAME, _MOST_LABEL = 64, 200, 100


@dataclass(frozen=True)
class Wanted:
    """A line that makes sense.

    Attributes:
        patient: whose picture it is; a new one where the clinic has none of this number.
        lesion: None where the line names neither lesion nor site.
        file: the name in the table.
    """

    patient: Patient | NewPatient
    lesion: NewLesion | None
    modality: str
    taken_at: datetime | None
    file: str

    def words(self) -> str:
        """Say what it will do, without naming anybody."""
        said = [_("Adds the image")]
        if isinstance(self.patient, NewPatient):
            said.append(_("registers the patient"))
        if self.lesion is not None:
            said.append(_("files it under the lesion"))
        return "; ".join(said) + "."


def wanted(facts: dict[str, str], clinic: Clinic) -> Wanted:
    """Return what a line asks for.

    Raises:
        RuleError: with the sentence that says what is wrong with it.
    """
    number = _bounded(facts, "patient_number", _MOST_NUMBER)
    if not number:
        raise RuleError(_("The line names no patient: fill in patient_number."))
    return Wanted(
        patient=_patient(number, facts, clinic),
        lesion=_lesion(facts),
        modality=_code(facts, "modality", Modality),
        taken_at=_moment(facts.get("taken", "")),
        file=facts.get("file", ""),
    )


def site_of(facts: dict[str, str]) -> str:
    """Return the site that a line says of its lesion.

    Raises:
        RuleError: its code is unknown.
    """
    if facts.get("lesion_site"):
        return _code(facts, "lesion_site", BodySite)
    return BodySite.UNKNOWN.value


def as_upload(data: bytes) -> Any:
    """Return bytes as the services take uploads; the name in the table goes no further."""
    return ContentFile(data, name="image")


def _patient(number: str, facts: dict[str, str], clinic: Clinic) -> Patient | NewPatient:
    name = _bounded(facts, "name", _MOST_NAME)
    born = _day(facts.get("birth_date", ""))
    known = (
        Patient.objects.filter(clinic=clinic, record_number=number).select_related("clinic").first()
    )
    if known is None:
        if not name:
            raise RuleError(
                _("The clinic has no patient of this number. Fill in name to register them.")
            )
        return NewPatient(
            key=uuid.uuid4(),
            clinic=clinic,
            record_number=number,
            name=name,
            date_of_birth=born,
        )
    if born and known.date_of_birth and born != known.date_of_birth:
        raise RuleError(
            _("The patient of this number was born on another day. Check number and birth_date.")
        )
    if (
        name
        and not (born and known.date_of_birth)
        and not name_words(name) & name_words(known.name)
    ):
        raise RuleError(_("The patient of this number has another name. Check number and name."))
    return known


def _lesion(facts: dict[str, str]) -> NewLesion | None:
    label = _bounded(facts, "lesion", _MOST_LABEL)
    site = site_of(facts)
    if not label and site == BodySite.UNKNOWN:
        return None
    return NewLesion(label=label or str(BodySite(site).label), body_site=site)


def _code(facts: dict[str, str], column: str, choices: type[Modality | BodySite]) -> str:
    said = facts.get(column, "").casefold().replace(" ", "_")
    if said not in choices.values:
        raise RuleError(
            _("Unknown code in %(column)s. Use one of: %(codes)s.")
            % {"column": column, "codes": ", ".join(choices.values)}
        )
    return said


def _bounded(facts: dict[str, str], column: str, most: int) -> str:
    said = facts.get(column, "")
    if len(said) > most:
        raise RuleError(
            _("Too long in %(column)s: at most %(most)d letters.")
            % {"column": column, "most": most}
        )
    return said


def _day(said: str) -> date | None:
    if not said:
        return None
    try:
        found = parse_date(said)
    except ValueError:
        found = None
    if found is None:
        raise RuleError(_("A date is not understood. Write it as 1980-12-31."))
    return found


def _moment(said: str) -> datetime | None:
    if not said:
        return None
    now = timezone.now()
    found, today = None, False
    with contextlib.suppress(ValueError):
        # First of all, because a day would be taken for its midnight: at noon it is the same day
        # in most places.
        day = parse_date(said)
        found = datetime.combine(day, time(12)) if day else parse_datetime(said)
        today = day == timezone.localdate()
    if found is None:
        raise RuleError(_("A date is not understood. Write it as 1980-12-31."))
    if timezone.is_naive(found):
        found = timezone.make_aware(found)
    if today:
        # Its noon may be still to come.
        found = min(found, now)
    if not EARLIEST <= found <= now:
        raise RuleError(_("The date in taken lies in the future, or before 1900."))
    return found
