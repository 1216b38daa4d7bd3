"""Forms of the result page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.choices import Decision, Modality, Verdict
from classifier.models import OTHER_DIAGNOSIS
from classifier.wording import label_choices
from mlcore.labels import label_set

if TYPE_CHECKING:
    from classifier.models import Analysis, Image


def diagnosis_choices(analysis: Analysis) -> list[tuple[str, Any]]:
    """Return the labels of the analysis's set, in alphabetical order, and "other"."""
    return [
        ("", _("Choose …")),
        *label_choices(label_set(analysis.label_set).labels),
        (OTHER_DIAGNOSIS, _("Something else, in words")),
    ]


class ReadingForm(forms.Form):
    """The clinician's own diagnosis, before the network's answer."""

    diagnosis = forms.ChoiceField(label=_("Your diagnosis"))
    diagnosis_text = forms.CharField(
        label=_("In words"),
        max_length=200,
        required=False,
        help_text=_("Only for “something else”."),
    )

    def __init__(self, *args: Any, analysis: Analysis, **kwargs: Any) -> None:
        """Offer the labels of the analysis's set."""
        super().__init__(*args, **kwargs)
        field = self.fields["diagnosis"]
        assert isinstance(field, forms.ChoiceField)  # noqa: S101 - tells the type checker
        field.choices = diagnosis_choices(analysis)

    def clean(self) -> dict[str, Any]:
        """Demand words for "something else"."""
        cleaned: dict[str, Any] = super().clean() or {}
        other = cleaned.get("diagnosis") == OTHER_DIAGNOSIS
        if other and not cleaned.get("diagnosis_text", "").strip():
            self.add_error("diagnosis_text", _("Write the diagnosis out."))
        return cleaned


class ReviewForm(forms.Form):
    """The verdict on the network's answer."""

    verdict = forms.ChoiceField(label=_("Verdict"), widget=forms.RadioSelect)
    diagnosis = forms.ChoiceField(label=_("Final diagnosis"), required=False)
    diagnosis_text = forms.CharField(
        label=_("In words"),
        max_length=200,
        required=False,
        help_text=_("Only for “something else”."),
    )
    reason = forms.CharField(
        label=_("Why you overrule"),
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    notes = forms.CharField(
        label=_("Notes"),
        max_length=10_000,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    # One more is stored in a column of 32 bits.
    expected_number = forms.IntegerField(min_value=0, max_value=2**31 - 2, widget=forms.HiddenInput)
    # What the page showed, see ``mark_of``; a form without it is late. The page's form of the
    # modality has a "seen" of its own.
    seen = forms.CharField(
        max_length=80, required=False, widget=forms.HiddenInput(attrs={"id": "id_review_seen"})
    )

    def __init__(
        self, *args: Any, analysis: Analysis, must_say_why: bool = False, **kwargs: Any
    ) -> None:
        """Word the verdicts by what the network decided, and the reason by whether people differ.

        The reason is not demanded here: who defers gives none, and the service knows the rest.
        """
        super().__init__(*args, **kwargs)
        self.must_say_why = must_say_why
        if must_say_why:
            self.fields["reason"].label = _("Why you decide so")
            self.fields["reason"].help_text = _("Needed unless you defer: the readers differ.")
        answered = analysis.decision == Decision.ANSWER
        agree = _("Agree with the first label") if answered else _("Agree: it takes a person")
        verdict, diagnosis = self.fields["verdict"], self.fields["diagnosis"]
        assert isinstance(verdict, forms.ChoiceField)  # noqa: S101 - tells the type checker
        assert isinstance(diagnosis, forms.ChoiceField)  # noqa: S101 - tells the type checker
        verdict.choices = [
            (Verdict.AGREE.value, agree),
            (Verdict.OVERRULE.value, _("Overrule: another diagnosis")),
            (Verdict.DEFER.value, _("Defer: decide later or ask a colleague")),
        ]
        diagnosis.choices = diagnosis_choices(analysis)
        diagnosis.help_text = (
            _("Needed to overrule.") if answered else _("Needed unless you defer.")
        )

    def clean(self) -> dict[str, Any]:
        """Leave a reason out that the page hid again: it was written for another verdict.

        A review is kept for ever, and its reason goes along with letters and reports.
        """
        cleaned: dict[str, Any] = super().clean() or {}
        agreed = cleaned.get("verdict") == Verdict.AGREE and not self.must_say_why
        if agreed or cleaned.get("verdict") == Verdict.DEFER:
            cleaned["reason"] = ""
        return cleaned


class ReasonForm(forms.Form):
    """Why an analysis is tried again or cancelled."""

    # A rejected result shows this form beside the review, which has a "reason" of its own.
    reason = forms.CharField(
        label=_("Reason"), max_length=500, widget=forms.TextInput(attrs={"id": "id_job_reason"})
    )


class ModalityForm(forms.Form):
    """Why an image is said to have been taken otherwise than recorded."""

    seen = forms.ChoiceField(choices=Modality.choices, widget=forms.HiddenInput)
    modality = forms.ChoiceField(choices=Modality.choices, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("What was wrong"),
        max_length=500,
        widget=forms.TextInput(attrs={"id": "id_modality_reason"}),
    )

    def __init__(self, data: Any = None, *, image: Image) -> None:
        """Offer the modality that is not recorded."""
        self.other = next(each for each in Modality if each != image.modality)
        offered = {"seen": image.modality, "modality": self.other.value}
        super().__init__(data, initial=offered)
