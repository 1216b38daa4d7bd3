"""Forms about patients and lesions: what a field may hold. Rules live in the services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.choices import BodySite, Sex, SkinType
from classifier.models import Clinic

if TYPE_CHECKING:
    from classifier.models import Patient, User


class DateInput(forms.DateInput):
    """The browser's own calendar, which speaks ISO dates whatever the page's language."""

    input_type = "date"

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs, format="%Y-%m-%d")

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add today as the last day the calendar offers."""
        today = timezone.localdate().isoformat()
        return super().get_context(name, value, {"max": today} | (attrs or {}))


class PatientForm(forms.Form):
    """A patient's facts, and the clinic where the person may choose one.

    Args:
        user: who fills it in.
        patient: the patient that is edited; None for a new one.
    """

    clinic = forms.ModelChoiceField(label=_("Clinic"), queryset=Clinic.objects.none())
    record_number = forms.CharField(
        label=_("Medical record number"),
        max_length=64,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    name = forms.CharField(
        label=_("Name"), max_length=200, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    date_of_birth = forms.DateField(
        label=_("Date of birth"), required=False, widget=DateInput(attrs={"autocomplete": "off"})
    )
    sex = forms.ChoiceField(label=_("Sex"), choices=Sex.choices, initial=Sex.UNKNOWN)
    skin_type = forms.ChoiceField(
        label=_("Skin type (Fitzpatrick)"),
        choices=[
            (SkinType.UNKNOWN.value, _("Unknown")),
            *(choice for choice in SkinType.choices if choice[0] != SkinType.UNKNOWN),
        ],
        initial=SkinType.UNKNOWN,
        help_text=_("As you judged it. It is never guessed from a picture."),
    )
    notes = forms.CharField(
        label=_("Notes"),
        max_length=10_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    archived = forms.BooleanField(
        label=_("Archived"),
        required=False,
        help_text=_("Archived patients leave the lists and take no new images. Nothing is lost."),
    )
    reason = forms.CharField(
        label=_("Why it is changed"),
        max_length=200,
        required=False,
        help_text=_("Kept in the record's history of changes."),
    )
    # When the row was changed last before the form was shown: nobody's correction is undone unseen.
    seen = forms.CharField(max_length=40, required=False, widget=forms.HiddenInput)

    def __init__(
        self, *args: Any, user: User, patient: Patient | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.patient = patient
        self._only_clinic: Clinic | None = None
        if patient is not None:
            del self.fields["clinic"]
            self.initial = {
                name: getattr(patient, name) for name in self.fields if hasattr(patient, name)
            } | {"seen": patient.updated_at.isoformat(), **self.initial}
            return
        del self.fields["archived"]
        del self.fields["reason"]
        del self.fields["seen"]
        clinics = Clinic.objects.writable_by(user)
        # Two are enough to know that there is a choice.
        first = list(clinics[:2])
        if len(first) == 1:
            self._only_clinic = first[0]
            del self.fields["clinic"]
        else:
            choice = self.fields["clinic"]
            if isinstance(choice, forms.ModelChoiceField):
                choice.queryset = clinics

    def facts(self) -> dict[str, Any]:
        """Return the cleaned facts as the services' keyword arguments."""
        facts = dict(self.cleaned_data)
        if self.patient is None:
            facts.setdefault("clinic", self._only_clinic)
        return facts


class LesionForm(forms.Form):
    """A lesion."""

    label = forms.CharField(
        label=_("Label"),
        max_length=100,
        help_text=_("What the team calls it: “mole left of the spine”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    body_site = forms.ChoiceField(
        label=_("Body site"),
        choices=[
            (BodySite.UNKNOWN.value, _("Unknown")),
            *(choice for choice in BodySite.choices if choice[0] != BodySite.UNKNOWN),
        ],
        initial=BodySite.UNKNOWN,
        widget=forms.RadioSelect,
    )
    first_seen = forms.DateField(label=_("First seen"), required=False, widget=DateInput())
