"""The form that sets a webhook up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.models import Clinic

if TYPE_CHECKING:
    from classifier.models import User


class WebhookForm(forms.Form):
    """Which clinic is told of, and where.

    Args:
        user: who fills it in.
    """

    clinic = forms.ModelChoiceField(label=_("Clinic"), queryset=Clinic.objects.none())
    url = forms.CharField(
        label=_("Address"),
        max_length=500,
        help_text=_("It begins with https:// and leads to a program that checks the signature."),
        widget=forms.URLInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clinic = self.fields["clinic"]
        assert isinstance(clinic, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        clinic.queryset = Clinic.objects.administered_by(user)
        first = list(clinic.queryset[:2])
        if len(first) == 1:
            clinic.initial = first[0]
