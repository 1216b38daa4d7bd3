"""Forms about a lesion over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Iterable


class CompareForm(forms.Form):
    """Which two pictures of a lesion are compared; it is sent as a query.

    Args:
        images: those that may be chosen, with ``moment`` and ``which``.
    """

    a = forms.ChoiceField(label=_("One date"))
    b = forms.ChoiceField(label=_("Another date"))
    view = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, images: Iterable[Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        told = [(image.pk, _words_of(image)) for image in images]
        for name in ("a", "b"):
            choice = self.fields[name]
            if isinstance(choice, forms.ChoiceField):
                choice.choices = told


def _words_of(image: Any) -> str:
    moment = timezone.localtime(image.moment)
    sent = "" if image.taken_at else _("uploaded")
    parts = (f"{moment:%Y-%m-%d %H:%M}", sent, image.get_modality_display(), image.which)
    return " · ".join(str(part) for part in parts if part)
