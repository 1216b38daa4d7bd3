"""Forms about networks: switching them, and comparing one with the answers on record."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.forms.patients import DateInput
from classifier.models import Clinic
from classifier.querysets.people import may_switch
from classifier.querysets.reruns import comparing_clinics

if TYPE_CHECKING:
    from classifier.models import User


class SwitchForm(forms.Form):
    """Why another network answers from now on.

    ``seen`` is the version that the page showed as answering: if another one does by now, nothing
    is switched.
    """

    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        help_text=_("Everybody reads it in the history of switches, and it is kept for ever."),
    )
    seen = forms.CharField(max_length=36, required=False, widget=forms.HiddenInput)


class RerunForm(forms.Form):
    """Which past cases are judged again.

    Args:
        user: who asks; they choose among the clinics whose cases they may have judged.
    """

    since = forms.DateField(label=_("From"), widget=DateInput())
    until = forms.DateField(label=_("To"), widget=DateInput())
    clinic = forms.ModelChoiceField(
        label=_("Cases of"), queryset=Clinic.objects.none(), required=False
    )

    def __init__(self, data: Any = None, *, user: User) -> None:
        today = timezone.localdate()
        initial = {"since": today - timedelta(days=30), "until": today}
        super().__init__(data, initial=initial)
        clinic = self.fields["clinic"]
        assert isinstance(clinic, forms.ModelChoiceField)  # noqa: S101 - tells the type checker
        clinic.queryset = comparing_clinics(user).order_by("name")
        clinic.required = not may_switch(user)
        clinic.empty_label = None if clinic.required else str(_("All clinics"))

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        if since and until and since > until:
            self.add_error("until", _("The period ends before it begins."))
        return cleaned
