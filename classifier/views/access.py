"""Looking a row up for a person: what they may not see is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from allauth.account.decorators import reauthentication_required
from django.core.exceptions import PermissionDenied
from django.db import models
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from classifier.models import Clinic, User

if TYPE_CHECKING:
    import uuid
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponseBase

    from classifier.querysets.records import ClinicOwnedQuerySet

M = TypeVar("M", bound=models.Model)
View = TypeVar("View", bound="Callable[..., HttpResponseBase]")


def confirmed_recently(view: View) -> View:
    """Ask for the password again unless it was given a moment ago.

    It stands before what can do much harm: an export of many, an erasure, emergency access.
    ``ACCOUNT_REAUTHENTICATION_TIMEOUT`` says how long a moment is. A form that was sent is kept and
    goes on when the person has confirmed.
    """
    return cast("View", reauthentication_required(view, app=""))


def person(request: HttpRequest) -> User:
    """Return who asks. Every page demands a sign-in, so it is never nobody."""
    return cast("User", request.user)


def visible_or_404(queryset: ClinicOwnedQuerySet[M], user: User, pk: uuid.UUID) -> M:
    """Return the row if the person may see it.

    Raises:
        Http404: there is no such row, or none that the person may see: they cannot tell which.
    """
    return get_object_or_404(queryset.visible_to(user), pk=pk)


def writable_or_403(queryset: ClinicOwnedQuerySet[M], user: User, pk: uuid.UUID) -> M:
    """Return the row if the person may change it or add to it.

    Raises:
        Http404: see :func:`visible_or_404`.
        PermissionDenied: the person may look at it, but not write.
    """
    row = visible_or_404(queryset, user, pk)
    if not queryset.writable_by(user).filter(pk=pk).exists():
        raise PermissionDenied(_("Your role in this clinic lets you look, not change anything."))
    return row


def require_writing_somewhere(user: User) -> None:
    """Check that the person may write in one clinic at least.

    Raises:
        PermissionDenied: they may not, with the sentence for the page.
    """
    if Clinic.objects.writable_by(user).exists():
        return
    if Clinic.objects.visible_to(user).exists():
        raise PermissionDenied(_("Your role in this clinic lets you look, not change anything."))
    raise PermissionDenied(
        _("You belong to no clinic yet. Ask an administrator to make you a member of one.")
    )
