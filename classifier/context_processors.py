"""What every page knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from classifier.selectors.workplace import workplace_of

if TYPE_CHECKING:
    from django.http import HttpRequest


def workplace(request: HttpRequest) -> dict[str, Any]:
    """Return the person's clinics, the queue alarm and whether this is a research build.

    Values are lazy: a fragment that shows none of them costs no query.
    """
    return workplace_of(getattr(request, "user", None))
