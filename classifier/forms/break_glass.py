"""The form that demands emergency access."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.models import Clinic

if TYPE_CHECKING:
    from classifier.models import User


class BreakGlassForm(forms.Form):
    """Whose record, and why.

    Args:
        user: who demands it; their own clinics are not offered.
    """

    clinic = forms.ModelChoiceField(
        label=_("Clinic"), queryset=Clinic.objects.none(), empty_label=_("Choose …")
    )
    record_number = forms.CharField(
        label=_("Medical record number"),
        max_length=64,
        help_text=_("Exactly as the clinic writes it."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )
    reason = forms.CharField(
        label=_("What is the emergency?"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("The clinic's administrator reads it."),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clinics = self.fields["clinic"]
        if isinstance(clinics, forms.ModelChoiceField):
            own = Clinic.objects.visible_to(user).values("pk")
            clinics.queryset = Clinic.objects.exclude(pk__in=own)
