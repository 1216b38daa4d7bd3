"""The upload form: which pictures, how they were taken, and of what."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

from classifier.choices import BodySite, Modality
from classifier.forms.patients import PatientForm
from classifier.services.images import EARLIEST
from classifier.services.patients import NewLesion, NewPatient

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from django.core.files.uploadedfile import UploadedFile

    from classifier.models import Lesion, Patient

# What the file chooser offers. It is a convenience: the content decides, not the name.
ACCEPTED = (
    "image/jpeg,image/png,image/webp,image/tiff,image/heic,image/heif,image/bmp,"
    ".jpg,.jpeg,.png,.webp,.tif,.tiff,.heic,.heif,.bmp,application/dicom,.dcm"
)


class MultipleFileInput(forms.FileInput):
    """A file chooser that takes several files."""

    allow_multiple_selected = True

    def use_required_attribute(self, initial: Any) -> bool:  # noqa: ARG002 - Django's signature
        """Return False: the picture may come from the camera's own input beside this one."""
        return False


class MultipleFileField(forms.FileField):
    """A list of uploads; their content is left to the intake, which knows more than a name."""

    widget = MultipleFileInput

    def clean(self, data: Any, initial: Any = None) -> Any:  # noqa: ARG002 - Django's signature
        """Return the list of uploaded files.

        Raises:
            ValidationError: there is none, or there are too many.
        """
        uploads: Sequence[UploadedFile[bytes]] = data if isinstance(data, (list, tuple)) else [data]
        uploads = [upload for upload in uploads if upload]
        if not uploads:
            raise forms.ValidationError(self.error_messages["required"], code="required")
        if len(uploads) > settings.INTAKE_MAX_FILES:
            raise forms.ValidationError(
                ngettext_lazy(
                    "Too many files: at most %(limit)d at a time. Send the rest afterwards.",
                    "Too many files: at most %(limit)d at a time. Send the rest afterwards.",
                    settings.INTAKE_MAX_FILES,
                ),
                code="too_many",
                params={"limit": settings.INTAKE_MAX_FILES},
            )
        return list(uploads)


class MomentInput(forms.DateTimeInput):
    """The browser's own calendar and clock, to the minute."""

    input_type = "datetime-local"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%dT%H:%M")

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Add now as the last moment the calendar offers."""
        now = timezone.localtime().strftime("%Y-%m-%dT%H:%M")
        return super().get_context(name, value, {"max": now} | (attrs or {}))


class UploadForm(forms.Form):
    """Pictures of one patient.

    Args:
        patient: whose lesions are offered; None while the patient is still to be registered.
    """

    NO_LESION = ""
    NEW_LESION = "new"

    images = MultipleFileField(
        label=_("Images"),
        widget=MultipleFileInput(attrs={"accept": ACCEPTED, "aria-describedby": "upload-limits"}),
        error_messages={"required": _("Choose at least one image.")},
    )
    # No choice is made beforehand: it decides which network looks at the picture.
    modality = forms.ChoiceField(
        label=_("How were they taken?"),
        choices=Modality.choices,
        widget=forms.RadioSelect,
        error_messages={"required": _("Say how the images were taken.")},
    )
    lesion = forms.ChoiceField(label=_("Lesion"), required=False)
    lesion_label = forms.CharField(
        label=_("Label of the new lesion"),
        max_length=100,
        required=False,
        help_text=_("What the team calls it: “mole left of the spine”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    lesion_site = forms.ChoiceField(
        label=_("Body site of the new lesion"),
        choices=[
            (BodySite.UNKNOWN.value, _("Unknown")),
            *(choice for choice in BodySite.choices if choice[0] != BodySite.UNKNOWN),
        ],
        required=False,
        initial=BodySite.UNKNOWN,
        widget=forms.RadioSelect,
    )
    taken_at = forms.DateTimeField(
        label=_("Taken at"),
        required=False,
        widget=MomentInput,
        help_text=_("Left empty, the camera's own clock is used where the file tells it."),
    )

    def __init__(self, *args: Any, patient: Patient | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lesions: dict[str, Lesion] = {}
        if patient is None:
            del self.fields["lesion"]
            return
        self._lesions = {str(lesion.pk): lesion for lesion in patient.lesions.all()}
        choice = self.fields["lesion"]
        if isinstance(choice, forms.ChoiceField):
            choice.choices = [
                (self.NO_LESION, _("No particular lesion")),
                *((key, str(lesion)) for key, lesion in self._lesions.items()),
                (self.NEW_LESION, _("A new lesion…")),
            ]

    @property
    def site_is_chosen(self) -> bool:
        """Whether the form as it is shown names a site, so that the map opens on it."""
        return self["lesion_site"].value() not in {None, "", BodySite.UNKNOWN}

    def clean_taken_at(self) -> datetime | None:
        """Refuse a moment at which the picture cannot have been taken.

        Raises:
            ValidationError: the moment lies in the future, or before 1900.
        """
        moment: datetime | None = self.cleaned_data["taken_at"]
        if moment is not None and moment > timezone.now():
            raise forms.ValidationError(
                _("This moment lies in the future. Check the date."), code="future"
            )
        if moment is not None and moment < EARLIEST:
            raise forms.ValidationError(
                _("This moment lies before 1900. Check the year."), code="too_early"
            )
        return moment

    def clean(self) -> dict[str, Any]:
        """Ask for the label of a lesion that is said to be new, and for none beside another choice.

        The page's script sends no label that is hidden; nobody's words are dropped otherwise.
        """
        cleaned = super().clean() or {}
        if "lesion" not in self.fields or {"lesion", "lesion_label"} & self.errors.keys():
            return cleaned
        wants_new, label = cleaned["lesion"] == self.NEW_LESION, cleaned["lesion_label"]
        if wants_new and not label:
            self.add_error("lesion_label", _("Give the new lesion a label."))
        if label and not wants_new:
            self.add_error(
                "lesion_label", _("Choose “A new lesion…” for this label, or take the label away.")
            )
        return cleaned

    def chosen_lesion(self) -> Lesion | NewLesion | None:
        """Return the lesion the pictures show, as said in the valid form."""
        choice = self.cleaned_data.get("lesion") or self.NO_LESION
        if choice in self._lesions:
            return self._lesions[choice]
        if self.cleaned_data["lesion_label"]:
            return NewLesion(
                label=self.cleaned_data["lesion_label"],
                body_site=self.cleaned_data["lesion_site"] or BodySite.UNKNOWN,
            )
        return None


class NewPatientUploadForm(PatientForm):
    """The patient's half of a form that registers a patient and sends the first pictures."""

    # Drawn when the form is shown, so that a form sent twice registers one patient.
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def new_patient(self) -> NewPatient:
        """Return the patient of the valid form."""
        return NewPatient(**self.facts())
