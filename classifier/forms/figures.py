"""Which period of which clinic the figures page counts."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from classifier.days import start_of
from classifier.forms.filters import ReadOnceField
from classifier.models import Clinic
from classifier.selectors.figures import Period

if TYPE_CHECKING:
    from classifier.models import User

DAYS = 90
# What is counted grows with the period, and thirteen months show a whole year's round.
MOST_DAYS = 396
# Nothing was photographed for this application before it, and the calendar has no day to count
# from before its first.
_FIRST_DAY = date(1970, 1, 1)


class FiguresForm(forms.Form):
    """A period and a clinic; a superuser may leave the clinic open, for all of them together."""

    clinic = ReadOnceField(label=_("Clinic"), queryset=Clinic.objects.none(), required=False)
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

    def __init__(self, data: Any, *, user: User) -> None:
        """Offer the person's clinics, and the last days unless others are asked for."""
        today = timezone.localdate()
        given = {name: value for name, value in data.items() if value}
        until = given.get("until", today.isoformat())
        last = max(_day(until, today), _FIRST_DAY)
        since = given.get("since", (last - timedelta(days=DAYS - 1)).isoformat())
        super().__init__(given | {"since": since, "until": until})
        field = self.fields["clinic"]
        assert isinstance(field, ReadOnceField)  # noqa: S101 - tells the type checker
        field.queryset = Clinic.objects.visible_to(user)
        field.empty_label = _("All clinics") if user.is_superuser else None
        self._may_all = user.is_superuser

    def clean(self) -> dict[str, Any]:
        """Refuse a period that ends before it begins, or is too long to be counted."""
        cleaned: dict[str, Any] = super().clean() or {}
        since, until = cleaned.get("since"), cleaned.get("until")
        for name, day in (("since", since), ("until", until)):
            if day and not _FIRST_DAY - timedelta(days=DAYS) <= day < date.max:
                self.add_error(name, _("Enter a valid date."))
        if since and until and until < since:
            self.add_error("until", _("This is before the first day."))
        elif since and until and (until - since).days >= MOST_DAYS:
            self.add_error("since", _("Choose thirteen months at most."))
        return cleaned

    @property
    def offers_clinics(self) -> bool:
        """Whether there is more than one choice."""
        return len(self._clinics()) + self._may_all > 1

    @property
    def has_clinic(self) -> bool:
        """Whether the person may see any figures at all."""
        return self._may_all or bool(self._clinics())

    def period(self) -> Period:
        """Return what was chosen: whole days of the installation's time; the first clinic if none.

        Only of a valid form of somebody who has a clinic or is a superuser.
        """
        clinic = self.cleaned_data["clinic"]
        if clinic is None and not self._may_all:
            clinic = self._clinics()[0]
        return Period(
            since=start_of(self.cleaned_data["since"]),
            until=start_of(self.cleaned_data["until"] + timedelta(days=1)),
            clinic=clinic,
        )

    def _clinics(self) -> list[Clinic]:
        field = self.fields["clinic"]
        assert isinstance(field, ReadOnceField)  # noqa: S101 - tells the type checker
        return list(field.queryset or ())


def _day(text: str, otherwise: date) -> date:
    """Return a day as sent; a default where that is none, which the field then tells of."""
    try:
        return forms.DateField().clean(text) or otherwise
    except forms.ValidationError:
        return otherwise
