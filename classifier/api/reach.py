"""What a token reaches: what its owner may see or change, in its clinic alone.

Emergency access does not reach here: it opens a record for a person who reads, and other clinics'
patients are none of this clinic's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import models
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from ninja import Query

from classifier.api.problems import Problem
from classifier.selectors.paging import UnknownRowError, page_after
from classifier.services import audit

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from classifier.models import ApiToken
    from classifier.querysets.records import ClinicOwnedQuerySet

M = TypeVar("M", bound=models.Model)

# The size of a page, unless asked for, and at most.
Limit = Annotated[int, Query(ge=1, le=200, description="Rows on a page.")]
PAGE = 50


def visible(queryset: ClinicOwnedQuerySet[M], token: ApiToken) -> ClinicOwnedQuerySet[M]:
    """Return the rows that the token's owner may see in its clinic."""
    return queryset.visible_to(token.user).filter(clinic=token.clinic_id)


def seen(queryset: ClinicOwnedQuerySet[M], token: ApiToken, pk: uuid.UUID) -> M:
    """Return a row.

    Raises:
        Http404: the token does not reach it.
    """
    return get_object_or_404(visible(queryset, token), pk=pk)


def written(queryset: ClinicOwnedQuerySet[M], token: ApiToken, pk: uuid.UUID) -> M:
    """Return a row that is to be added to.

    Raises:
        Http404: the token does not reach it.
        PermissionDenied: the owner's role lets them look and not write.
    """
    row = seen(queryset, token, pk)
    if not queryset.writable_by(token.user).filter(pk=pk).exists():
        raise PermissionDenied(_("Your role in this clinic lets you look, not change anything."))
    return row


def page_of(
    queryset: models.QuerySet[M],
    *,
    order: Sequence[str],
    after: uuid.UUID | None,
    limit: int,
    anchors: models.QuerySet[M],
) -> tuple[list[M], Any]:
    """Return a page and the key to ask on with.

    Raises:
        Problem: the page should follow a row that is not there.
    """
    try:
        return page_after(queryset, order=order, after=after, size=limit, anchors=anchors)
    except UnknownRowError as error:
        raise no_such_row() from error


def no_such_row() -> Problem:
    """Return the refusal of a page that should follow a row that is not there."""
    sentence = _("The row named by “after” is not there any more. Begin with the first page.")
    return Problem(422, sentence, errors=[{"field": "query.after", "message": sentence}])


def note_list(token: ApiToken, action: str) -> None:
    """Record that a program read a list of the clinic."""
    audit.record_view(
        action=action, actor=token.user, clinic_id=token.clinic_id, subject=token.clinic
    )
