"""What a person wishes for themselves."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.choices import NoticePace


class NoticesForm(forms.Form):
    """How often to be told by letter that results wait."""

    pace = forms.ChoiceField(
        label=_("Tell me by e-mail when results wait"),
        choices=NoticePace.choices,
        widget=forms.RadioSelect,
        help_text=_(
            "Only when an image that you sent has a new result that nobody has reviewed. The "
            "letter says how many there are and nothing about any patient."
        ),
    )
