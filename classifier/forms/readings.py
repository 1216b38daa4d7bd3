"""Whom to ask for a second reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.models import User

if TYPE_CHECKING:
    from django.db.models import QuerySet


class SecondReadingForm(forms.Form):
    """One colleague, or anybody of the clinic."""

    asked = forms.ModelChoiceField(
        User.objects.none(),
        label=_("Whom to ask"),
        required=False,
        empty_label=_("Anybody of the clinic"),
        help_text=_("Only colleagues who have not seen the answer yet are listed."),
    )

    def __init__(self, data: Any = None, *, readers: QuerySet[User]) -> None:
        """Offer the colleagues who can still read the image blinded."""
        super().__init__(data)
        field = self.fields["asked"]
        assert isinstance(field, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        field.queryset = readers
