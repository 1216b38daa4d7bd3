"""What of a list's filter may be kept, and what of a kept one still means something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.utils.translation import gettext_lazy as _

from classifier.choices import FilteredPage
from classifier.forms.filters import HistoryFilterForm, WorklistFilterForm
from classifier.selectors.lists import TABS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.models import SavedFilter
    from classifier.querysets.people import Person

    FilterForm = HistoryFilterForm | WorklistFilterForm

_FORMS: dict[str, type[FilterForm]] = {
    FilteredPage.WORKLIST: WorklistFilterForm,
    FilteredPage.HISTORY: HistoryFilterForm,
}
# By name, and not "all but": a field that is added later and names a patient is not kept.
_KEPT: dict[str, tuple[str, ...]] = {
    FilteredPage.WORKLIST: ("tab", "mine", "modality", "clinic"),
    FilteredPage.HISTORY: (
        "label",
        "decision",
        "modality",
        "state",
        "review",
        "version",
        "reviewer",
        "clinic",
        "since",
        "until",
    ),
}


@dataclass(frozen=True)
class Usable:
    """What is left of a saved filter.

    Attributes:
        query: fields and their values, as the list's address takes them.
        left_out: labels of the fields that mean nothing any more.
    """

    query: dict[str, str]
    left_out: list[str]


class FilterNameForm(forms.Form):
    """What a saved filter is called."""

    name = forms.CharField(
        label=_("Name"),
        max_length=60,
        help_text=_("“My melanoma list”, say. Never a patient's name."),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def filter_form(page: str, data: Mapping[str, Any], user: Person) -> FilterForm:
    """Return the list's own filter form, bound.

    Args:
        page: a value of ``FilteredPage``.
        data: what the list's address says.
        user: who asks: only their clinics and colleagues are offered.
    """
    return _FORMS[page](data, user=user)


def kept_values(page: str, form: FilterForm) -> dict[str, str]:
    """Return what a valid form's filter keeps; nothing in it names a patient."""
    kept = {}
    for name in _KEPT[page]:
        value = form.cleaned_data.get(name)
        if not value or (name == "tab" and value == TABS[0]):
            continue
        kept[name] = "1" if value is True else str(form.fields[name].prepare_value(value))
    return kept


def names_patient(form: FilterForm) -> bool:
    """Tell whether a filter looks for somebody by name, number or record; that is not kept."""
    return any(form.data.get(name) for name in ("q", "patient"))


def usable(saved: SavedFilter, user: Person) -> Usable:
    """Return what of a saved filter the list's own form still takes."""
    stored = saved.query if isinstance(saved.query, dict) else {}
    known = {
        name: stored[name]
        for name in _KEPT[saved.page]
        if isinstance(stored.get(name), str) and stored[name]
    }
    form = filter_form(saved.page, known, user)
    left_out = [name for name in stored if name not in known]
    if not form.is_valid():
        left_out += [name for name in known if name in form.errors]
    labels = [
        str(form.fields[name].label) if name in form.fields else str(name) for name in left_out
    ]
    query = {name: value for name, value in known.items() if name not in left_out}
    return Usable(query, sorted(labels))
