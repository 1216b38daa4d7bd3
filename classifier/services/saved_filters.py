"""Keeping, renaming and removing a person's own filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from classifier.models import SavedFilter, User
from classifier.services.errors import RuleError
from classifier.services.patients import FieldRuleError, broken_constraint

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

# Of one list; more are no shortcut any more.
MOST_FILTERS = 20


def save_filter(*, by: User, page: str, name: str, query: Mapping[str, str]) -> SavedFilter:
    """Keep a filter under a name.

    Args:
        by: whose it is; nobody else sees it.
        page: a value of ``FilteredPage``.
        name: free text, once for each list, whatever its case.
        query: what ``classifier.forms.saved_filters.kept_values`` returned.

    Raises:
        FieldRuleError: there is no name, or another filter has it.
        RuleError: there is nothing to keep, or the person has very many.
    """
    if not query:
        raise RuleError(_("There is nothing to save: set a filter first."))
    name = _checked(name)
    try:
        with transaction.atomic():
            _check_room(by, page)
            return SavedFilter.objects.create(user=by, page=page, name=name, query=dict(query))
    except IntegrityError as error:
        raise _taken(error) from error


def restore_filter(
    *, by: User, key: str, page: str, name: str, query: Any, created_at: datetime
) -> SavedFilter:
    """Bring a filter back that its owner removed, to the place where it stood.

    To bring it back twice is to bring it back. What of it means nothing any more is left out when
    it is opened, as always.

    Raises:
        FieldRuleError: another filter has its name by now.
        RuleError: there is no room for it any more.
    """
    try:
        with transaction.atomic():
            _check_room(by, page, besides=key)
            saved, _made = SavedFilter.objects.get_or_create(
                pk=key, user=by, defaults={"page": page, "name": name, "query": query}
            )
            SavedFilter.objects.filter(pk=saved.pk).update(created_at=created_at)
            return saved
    except IntegrityError as error:
        raise _taken(error) from error


def rename_filter(*, saved: SavedFilter, name: str, seen: str = "") -> str:
    """Give a filter another name, and return it as it is kept.

    Args:
        saved: the filter.
        name: the new name.
        seen: the name it must still have; empty for whichever.

    Raises:
        FieldRuleError: there is no name, or another filter has it.
        RuleError: the filter was removed or renamed meanwhile.
    """
    name = _checked(name)
    rows = SavedFilter.objects.filter(pk=saved.pk)
    try:
        with transaction.atomic():
            if seen and rows.exclude(name=seen).exists():
                raise RuleError(_("This filter was renamed meanwhile."))
            if not (rows.filter(name=seen) if seen else rows).update(name=name):
                raise RuleError(_("This filter was removed meanwhile."))
    except IntegrityError as error:
        raise _taken(error) from error
    return name


def remove_filter(*, saved: SavedFilter) -> None:
    """Remove a filter; to remove it twice is to remove it."""
    SavedFilter.objects.filter(pk=saved.pk).delete()


def _check_room(by: User, page: str, *, besides: str = "") -> None:
    # One at a time for each person: two forms sent at once would both find room.
    User.objects.select_for_update(no_key=True).get(pk=by.pk)
    filters = SavedFilter.objects.filter(user=by, page=page)
    others = filters.exclude(pk=besides) if besides else filters
    if others.count() >= MOST_FILTERS:
        raise RuleError(
            _("You have %(most)d saved filters for this list. Remove one first.")
            % {"most": MOST_FILTERS}
        )


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name:
        raise FieldRuleError("name", _("Give the filter a name."))
    return name


def _taken(error: IntegrityError) -> IntegrityError | FieldRuleError:
    if broken_constraint(error) != "saved_filter_name_once":
        return error
    return FieldRuleError("name", _("You have a filter with this name for this list."))
