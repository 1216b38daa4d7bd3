"""Refusals as RFC 9457 problem details (``application/problem+json``).

The reference that every answer carries is added by ``skinapp.problems``, which also puts what fails
outside of the API's own code into this form.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.utils.translation import gettext as _
from ninja.errors import AuthenticationError, HttpError, ValidationError

from classifier.intake.refusals import STATUS_OF_REFUSAL, Refused
from classifier.services.errors import ConflictError, RuleError
from classifier.services.patients import FieldRuleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from ninja import NinjaAPI

MEDIA_TYPE = "application/problem+json"
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="skinapp"'}
# What pydantic says to a person who wrote the request is enough; what was sent is not repeated.
_MOST_ERRORS = 20


class Problem(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """Ends a request with a refusal.

    Attributes:
        status: of the answer, 400 to 599.
        sentence: what is wrong and how to do it right.
        errors: [{"field", "message"}] where single fields are wrong.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        sentence: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        self.status = status
        self.sentence = sentence
        self.errors = errors or []
        self.headers = headers or {}
        super().__init__(sentence)

    def facts(self) -> dict[str, Any]:
        """Return the body."""
        told: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.sentence,
        }
        return told | ({"errors": self.errors} if self.errors else {})

    def response(self) -> HttpResponse:
        """Return the answer."""
        return HttpResponse(
            json.dumps(self.facts()),
            status=self.status,
            content_type=MEDIA_TYPE,
            headers=self.headers,
        )


def explained(error: Exception) -> Problem | None:
    """Return what an exception of the application means to the program, or None for a fault."""
    for kind, explain in _EXPLAINED:
        if isinstance(error, kind):
            return explain(error)
    return None


def answer_problems(api: NinjaAPI) -> None:
    """Let the API answer refusals as problems; faults go on to Django."""

    def answer(request: HttpRequest, error: Any) -> HttpResponse:
        problem = explained(error)
        if problem is None:
            raise error
        return problem.response()

    for kind in (
        Problem,
        Refused,
        RuleError,
        Http404,
        PermissionDenied,
        ValidationError,
        HttpError,
        Exception,
    ):
        api.add_exception_handler(kind, answer)


def _about(field: str, message: str) -> dict[str, str]:
    return {"field": field, "message": message}


def _refused(error: Refused) -> Problem:
    status = STATUS_OF_REFUSAL.get(error.code, 422)
    return Problem(status, str(error), errors=[_about("image", str(error))])


def _unknown(error: Http404) -> Problem:
    return Problem(404, _("There is no such thing here, or this token does not reach it."))


def _stranger(error: AuthenticationError) -> Problem:
    sentence = _(
        "Send a working token: Authorization: Bearer … It is made on the page “API tokens”."
    )
    return Problem(401, sentence, headers=_CHALLENGE)


def _invalid(error: ValidationError) -> Problem:
    errors = [
        _about(".".join(str(part) for part in wrong["loc"]), str(wrong["msg"]))
        for wrong in error.errors[:_MOST_ERRORS]
    ]
    return Problem(422, _("The request does not fit the schema; see “errors”."), errors=errors)


# The first that fits counts.
_EXPLAINED: tuple[tuple[type[Exception], Callable[[Any], Problem]], ...] = (
    (Problem, lambda problem: problem),
    (Refused, _refused),
    (ConflictError, lambda error: Problem(409, str(error))),
    (
        FieldRuleError,
        lambda error: Problem(422, str(error), errors=[_about(error.field, str(error))]),
    ),
    (RuleError, lambda error: Problem(422, str(error))),
    (Http404, _unknown),
    (PermissionDenied, lambda error: Problem(403, str(error))),
    (ValidationError, _invalid),
    (AuthenticationError, _stranger),
    (HttpError, lambda error: Problem(error.status_code, _("The body is not JSON."))),
)
