"""The form that makes a token."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.choices import Scope
from classifier.models import Clinic
from classifier.services.tokens import LONGEST_DAYS

if TYPE_CHECKING:
    from classifier.models import User


class TokenForm(forms.Form):
    """What a token is for, where it works, what it may do and for how long.

    Args:
        user: whose token it will be.
    """

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("The program that will use it: “practice software, room 4”."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    clinic = forms.ModelChoiceField(
        label=_("Clinic"),
        queryset=Clinic.objects.none(),
        help_text=_("The token works in this clinic alone."),
    )
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"),
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": _("Choose at least one scope.")},
    )
    days = forms.IntegerField(
        label=_("Works for (days)"), min_value=1, max_value=LONGEST_DAYS, initial=90
    )
    # Drawn when the form is shown, so that a form sent twice makes one token.
    key = forms.UUIDField(widget=forms.HiddenInput, initial=uuid.uuid4)

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        clinic = self.fields["clinic"]
        assert isinstance(clinic, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        clinic.queryset = Clinic.objects.visible_to(user)
        first = list(clinic.queryset[:2])
        if len(first) == 1:
            clinic.initial = first[0]
