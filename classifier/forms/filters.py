"""The filters of the worklist and the history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.choices import CallableChoiceIterator
from django.utils.translation import gettext_lazy as _

from classifier.choices import Decision, Modality, ReviewState, State
from classifier.models import Clinic, ModelVersion, Patient, User
from classifier.selectors.lists import TABS
from classifier.wording import label_name
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from classifier.querysets.people import Person

_ANY = ("", _("Any"))
# Not among the filters that fold away: the search, and the patient whose page led here.
_ABOVE = frozenset({"q", "patient"})


def _labels() -> list[tuple[str, Any]]:
    names = {
        label.key: label_name(label) for labels in LABEL_SETS.values() for label in labels.labels
    }
    return [_ANY, *sorted(names.items(), key=lambda pair: pair[1])]


class ReadOnceField(forms.ModelChoiceField):  # type: ignore[type-arg]  # of any model
    """A choice among few rows, which are read once: to be offered, and to know the chosen one."""

    def _rows(self) -> list[Any]:
        if self.queryset is None:
            return []
        # The queryset keeps what it has read, and is the form's own.
        return list(self.queryset)

    def _offered(self) -> list[tuple[Any, str]]:
        rows = [(self.prepare_value(row), self.label_from_instance(row)) for row in self._rows()]
        return rows if self.empty_label is None else [("", str(self.empty_label)), *rows]

    @property
    def choices(self) -> Any:  # type: ignore[override]  # nobody sets them
        """What is offered, read when it is first asked for."""
        return CallableChoiceIterator(self._offered)

    def to_python(self, value: Any) -> Any:
        """Return the chosen row.

        Raises:
            ValidationError: it is not offered.
        """
        if value in self.empty_values:
            return None
        for row in self._rows():
            if str(row.pk) == str(value):
                return row
        raise forms.ValidationError(
            self.error_messages["invalid_choice"], code="invalid_choice", params={"value": value}
        )


class TabField(forms.ChoiceField):
    """A part of the worklist; what is none stands for the first, which any address may."""

    def clean(self, value: Any) -> str:
        """Return the tab."""
        return str(value) if value in TABS else TABS[0]


class WorklistFilterForm(forms.Form):
    """Which part of the worklist to show, and what of it; every field may stay empty."""

    tab = TabField(choices=[(tab, tab) for tab in TABS], widget=forms.HiddenInput)
    mine = forms.BooleanField(label=_("Only images that I sent"), required=False)
    modality = forms.ChoiceField(
        label=_("Modality"), choices=[_ANY, *Modality.choices], required=False
    )
    clinic = ReadOnceField(
        label=_("Clinic"), queryset=Clinic.objects.none(), required=False, empty_label=_("Any")
    )

    def __init__(self, *args: Any, user: Person, **kwargs: Any) -> None:
        """Offer the person's own clinics only."""
        super().__init__(*args, **kwargs)
        clinic = self.fields["clinic"]
        assert isinstance(clinic, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        clinic.queryset = Clinic.objects.visible_to(user)

    @property
    def active(self) -> int:
        """Return how many filters are set beside the tab."""
        if not self.is_valid():
            return 0
        return sum(1 for name, value in self.cleaned_data.items() if value and name != "tab")


class HistoryFilterForm(forms.Form):
    """What to list; every field may stay empty."""

    q = forms.CharField(
        label=_("Patient"),
        max_length=200,
        required=False,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": _("Name or record number")}),
    )
    # One patient exactly: their page leads here.
    patient = forms.ModelChoiceField(
        queryset=Patient.objects.none(), required=False, widget=forms.HiddenInput
    )
    label = forms.ChoiceField(label=_("Network's first label"), choices=_labels, required=False)
    decision = forms.ChoiceField(
        label=_("Decision"), choices=[_ANY, *Decision.choices], required=False
    )
    modality = forms.ChoiceField(
        label=_("Modality"), choices=[_ANY, *Modality.choices], required=False
    )
    state = forms.ChoiceField(label=_("State"), choices=[_ANY, *State.choices], required=False)
    review = forms.ChoiceField(
        label=_("Review"), choices=[_ANY, *ReviewState.choices], required=False
    )
    version = ReadOnceField(
        label=_("Model version"),
        queryset=ModelVersion.objects.defer("manifest", "metrics"),
        required=False,
        empty_label=_("Any"),
    )
    reviewer = ReadOnceField(
        label=_("Reviewer"), queryset=User.objects.none(), required=False, empty_label=_("Any")
    )
    clinic = ReadOnceField(
        label=_("Clinic"), queryset=Clinic.objects.none(), required=False, empty_label=_("Any")
    )
    since = forms.DateField(
        label=_("From"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    until = forms.DateField(
        label=_("To"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )

    def __init__(self, *args: Any, user: Person, **kwargs: Any) -> None:
        """Offer the person's own clinics and colleagues only."""
        super().__init__(*args, **kwargs)
        clinics = Clinic.objects.visible_to(user)
        patient = self.fields["patient"]
        assert isinstance(patient, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        patient.queryset = Patient.objects.visible_to(user).defer("notes")
        reviewer, clinic = self.fields["reviewer"], self.fields["clinic"]
        assert isinstance(reviewer, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        assert isinstance(clinic, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        reviewer.queryset = (
            User.objects.filter(memberships__clinic__in=clinics.values("pk"))
            .distinct()
            .order_by("last_name", "email")
        )
        clinic.queryset = clinics

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        return cleaned

    @property
    def active(self) -> int:
        """Return how many filters are set below the search for a patient."""
        if not self.is_valid():
            return 0
        return sum(1 for name, value in self.cleaned_data.items() if value and name not in _ABOVE)
