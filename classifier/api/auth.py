"""Who asks, and whether the token allows it."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import pghistory
from django.conf import settings
from django.utils.translation import gettext as _
from ninja.security import HttpBearer

from classifier.api.problems import Problem
from classifier.choices import Scope
from classifier.models import ApiToken
from classifier.services import audit
from classifier.services.rates import MINUTE, Bound, seconds_to_wait, wait_for_upload
from classifier.services.second_factor import lacks_second_factor
from classifier.services.tokens import note_use, open_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

P = ParamSpec("P")
R = TypeVar("R")

# What operations take besides their path and their query.
_NOT_OF_THE_QUERY = frozenset({"request", "facts", "image", "idempotency_key"})
# Of a name that nobody knows, and of such names.
_SHOWN = 40
# The one operation that takes a file.
TAKES_A_FILE = "image_upload"


class Token(HttpBearer):
    """A working token with a scope; the browser's session counts for nothing here.

    Everything is decided before a byte of the body is read.
    """

    def __init__(self, scope: Scope | None = None) -> None:
        """Demand a scope; None lets every token in."""
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> ApiToken | None:
        """Return the token's row.

        Raises:
            Problem: the token works, but not for this, not so often, or not for this body.
        """
        found = open_token(token)
        if found is None:
            return None
        request.user = found.user
        if lacks_second_factor(found.user):
            raise Problem(
                403, _("Set up a second factor first: your role or your clinic asks for one.")
            )
        if self.scope is not None and self.scope.value not in found.scopes:
            raise Problem(
                403, _("This token lacks the scope “%(scope)s”.") % {"scope": self.scope.value}
            )
        _count(request, found)
        _check_kind(request)
        note_use(found)
        return found


def token_of(request: HttpRequest) -> ApiToken:
    """Return the token of a request that :class:`Token` let in."""
    return cast(ApiToken, request.auth)  # type: ignore[attr-defined] # ninja's own attribute


def in_its_name(operation: Callable[P, R]) -> Callable[P, R]:
    """Note the token with everything that an operation records or writes.

    A parameter of the query that the operation does not know is refused: "sinse=" would otherwise
    list everything.
    """
    known = set(inspect.signature(operation).parameters) - _NOT_OF_THE_QUERY

    @functools.wraps(operation)
    def noted(*args: P.args, **kwargs: P.kwargs) -> R:
        request: Any = args[0]
        _check_query(request, known - request.resolver_match.captured_kwargs.keys())
        token = token_of(request)
        page = request.resolver_match.view_name
        with (
            audit.through(token),
            pghistory.context(user=str(token.user_id), page=page, token=str(token.pk)),
        ):
            return operation(*args, **kwargs)

    return noted


def _check_query(request: HttpRequest, known: set[str]) -> None:
    unknown = sorted(name[:_SHOWN] for name in request.GET if name not in known)
    if unknown:
        sentence = _("The address knows no such parameter.")
        errors = [{"field": f"query.{name}", "message": sentence} for name in unknown[:_SHOWN]]
        raise Problem(422, sentence, errors=errors)


def _count(request: HttpRequest, token: ApiToken) -> None:
    most = settings.API_REQUESTS_PER_MINUTE
    wait = seconds_to_wait(str(token.pk), (Bound("api:requests", MINUTE, 1, most),))
    if request.method == "POST" and _takes_a_file(request):
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        wait = max(wait, wait_for_upload(user=str(token.user_id), length=length))
    if wait:
        raise Problem(
            429,
            _("Too many requests with this token. Wait %(seconds)d seconds.") % {"seconds": wait},
            headers={"Retry-After": str(wait)},
        )


def _check_kind(request: HttpRequest) -> None:
    """Refuse a body of another kind than the operation takes.

    Raises:
        Problem: it is; with status 415.
    """
    if request.method != "POST" or not (request.content_type or request.META.get("CONTENT_LENGTH")):
        return
    wanted = "multipart/form-data" if _takes_a_file(request) else "application/json"
    if request.content_type != wanted:
        raise Problem(415, _("Send the body as %(kind)s.") % {"kind": wanted})


def _takes_a_file(request: HttpRequest) -> bool:
    match = request.resolver_match
    return match is not None and match.url_name == TAKES_A_FILE
