"""What a lesion turned out to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.choices import Behaviour, OutcomeKind
from classifier.forms.patients import DateInput
from classifier.models import OTHER_DIAGNOSIS, Clinic
from classifier.selectors.outcomes import LABELS
from classifier.wording import label_choices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classifier.models import Outcome


def _diagnoses() -> list[tuple[str, Any]]:
    return [
        ("", _("Choose …")),
        *label_choices(LABELS.values()),
        (OTHER_DIAGNOSIS, _("Something else, in words")),
    ]


class OutcomeForm(forms.Form):
    """The outcome, or a correction of it; then the reason is needed."""

    kind = forms.ChoiceField(label=_("How it is known"), choices=OutcomeKind.choices)
    diagnosis = forms.ChoiceField(label=_("Diagnosis"), choices=_diagnoses)
    diagnosis_text = forms.CharField(
        label=_("In words"),
        max_length=200,
        required=False,
        help_text=_("Only for “something else”."),
    )
    behaviour = forms.ChoiceField(
        label=_("Malignant?"),
        required=False,
        choices=[("", _("Choose …")), *Behaviour.choices],
        help_text=_("Only for “something else”."),
    )
    found_on = forms.DateField(
        label=_("Found on"),
        widget=DateInput(),
        initial=timezone.localdate,
        help_text=_("The day of the report or of the last visit."),
    )
    reference = forms.CharField(
        label=_("Reference number"),
        max_length=64,
        required=False,
        help_text=_("The laboratory's own number, for example."),
    )
    reason = forms.CharField(label=_("Why it is changed"), max_length=500, required=False)
    expected_number = forms.IntegerField(min_value=0, widget=forms.HiddenInput)

    def __init__(
        self, data: Any = None, *, number: int = 0, standing: Outcome | None = None
    ) -> None:
        """Start with what counts now.

        Args:
            data: what was sent.
            number: how many rows there are.
            standing: the one that counts, if any.
        """
        initial: dict[str, Any] = {"expected_number": number}
        if standing is not None:
            names = ("kind", "diagnosis", "diagnosis_text", "found_on", "reference")
            initial |= {name: getattr(standing, name) for name in names}
            if standing.diagnosis == OTHER_DIAGNOSIS:
                initial["behaviour"] = standing.behaviour
        super().__init__(data, initial=initial)
        if not number:
            self.fields["reason"].widget = forms.HiddenInput()


class WithdrawalForm(forms.Form):
    """Why a lesion has no outcome after all."""

    reason = forms.CharField(
        label=_("Why it is withdrawn"),
        max_length=500,
        widget=forms.TextInput(attrs={"id": "id_withdrawal_reason"}),
    )
    expected_number = forms.IntegerField(
        min_value=1, widget=forms.HiddenInput(attrs={"id": "id_withdrawal_number"})
    )


class OutcomeFiguresForm(forms.Form):
    """Of which clinic."""

    clinic = forms.ModelChoiceField(
        Clinic.objects.none(), label=_("Clinic"), required=False, empty_label=None
    )

    def __init__(self, data: Any, *, clinics: Sequence[Clinic]) -> None:
        """Offer the person's clinics."""
        super().__init__(data)
        field = self.fields["clinic"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        field.queryset = Clinic.objects.filter(pk__in=[clinic.pk for clinic in clinics])
        self._first = clinics[0] if clinics else None

    @property
    def chosen(self) -> Clinic | None:
        """The clinic that is asked for; the first where none is."""
        if not self.is_valid():
            return None
        return self.cleaned_data["clinic"] or self._first
