"""Forms about records: reading the trail, consent, export and erasure."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from classifier.choices import ConsentUse
from classifier.forms.patients import DateInput
from classifier.models import Clinic, Patient, User
from classifier.selectors.audit import ACTIONS, INSTALLATION, people_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class TrailForm(forms.Form):
    """Which events to list; every field may stay empty.

    Args:
        clinics: those whose trail the person may read; at least one.
    """

    scope = forms.ChoiceField(label=_("Trail of"), required=False)
    person = forms.ModelChoiceField(
        label=_("Person"), queryset=User.objects.none(), required=False, empty_label=_("Any")
    )
    action = forms.ChoiceField(
        label=_("Action"),
        required=False,
        choices=lambda: [
            ("", _("Any")),
            *sorted(ACTIONS.items(), key=lambda pair: str(pair[1])),
        ],
    )
    patient = forms.CharField(
        label=_("Patient"),
        max_length=64,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("The record number, or the long part of the address of the patient's page."),
    )
    since = forms.DateField(label=_("From"), required=False, widget=DateInput())
    until = forms.DateField(label=_("To"), required=False, widget=DateInput())

    def __init__(self, data: Any, *, clinics: Sequence[Clinic]) -> None:
        super().__init__(data)
        self._clinics = {str(clinic.pk): clinic for clinic in clinics}
        scope, person = self.fields["scope"], self.fields["person"]
        assert isinstance(scope, forms.ChoiceField)  # noqa: S101 - tells the type checker
        assert isinstance(person, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        scope.choices = [
            *((key, clinic.name) for key, clinic in self._clinics.items()),
            (INSTALLATION, _("This installation")),
        ]
        if self.clinic is not None:
            person.queryset = people_of(self.clinic)

    @property
    def clinic(self) -> Clinic | None:
        """The clinic whose trail is asked for; None for the installation."""
        chosen = self.data.get("scope", "")
        if chosen == INSTALLATION:
            return None
        return self._clinics.get(chosen) or next(iter(self._clinics.values()))

    def clean_patient(self) -> uuid.UUID | None:
        """Return the key of whom the record number or the key names.

        Who was erased has no number any more; their key is still in the trail.
        """
        asked: str = self.cleaned_data["patient"]
        if not asked:
            return None
        here = Patient.objects.filter(clinic=self.clinic, record_number=asked)
        found = here.values_list("pk", flat=True).first()
        if found is not None:
            return found
        try:
            return uuid.UUID(asked)
        except ValueError as error:
            raise forms.ValidationError(
                _("No patient of this clinic has this record number.")
            ) from error

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return cleaned


class ConsentForm(forms.Form):
    """What the patient said about one use."""

    use = forms.ChoiceField(label=_("Use"), choices=ConsentUse.choices)
    given = forms.TypedChoiceField(
        label=_("The patient"),
        choices=[
            ("yes", pgettext_lazy("what the patient does", "consents")),
            ("no", _("does not consent, or takes it back")),
        ],
        coerce=lambda said: said == "yes",
    )
    decided_on = forms.DateField(label=_("Said on"), widget=DateInput(), initial=timezone.localdate)
    note = forms.CharField(
        label=_("Note"),
        max_length=500,
        required=False,
        help_text=_("Where the signed paper lies, for example."),
    )


class ExportForm(forms.Form):
    """Why a whole record leaves the application."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("Kept in the audit trail for ever: name nobody."),
    )


class ErasureForm(ExportForm):
    """Why a record goes for ever, and the proof that it is the right one."""

    confirmation = forms.CharField(
        label=_("Medical record number, typed anew"),
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
