"""Operations that change something, and their idempotency keys.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, ParamSpec

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpResponse
from ninja import Header, Schema
from ninja.responses import NinjaJSONEncoder

from classifier.api.auth import token_of
from classifier.api.problems import MEDIA_TYPE, Problem, explained
from classifier.models import Patient
from classifier.services.sent_once import (
    Answer,
    ClaimLostError,
    OtherRequestError,
    StillRunningError,
    answer_once,
)

P = ParamSpec("P")

# What a program draws for each request, and sends again with the same one only.
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description=(
            "Draw one for each request (a UUID, say) and send it again only with the same request: "
            "the answer is then the same, for 24 hours, and nothing is done twice."
        ),
    ),
]
_JSON = "application/json"
_BAD, _SERVER = 400, 500
_CHUNK = 256 * 1024


def done(body: Schema, *, status: int = 201, patient: Patient | None = None) -> Answer:
    """Return the answer of an operation that did something.

    Args:
        body: what is told.
        status: of HTTP.
        patient: whose facts the body holds.
    """
    return Answer(status, _json(body.model_dump()), patient)


def once(operation: Callable[P, Answer]) -> Callable[P, HttpResponse]:
    """Do an operation once for each idempotency key; without a key, whenever it is asked for.

    The operation has a parameter ``idempotency_key`` and returns what :func:`done` returned.
    """

    @functools.wraps(operation)
    def sent(*args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        request: Any = args[0]
        key = kwargs.get("idempotency_key")
        if key is None:
            return _response(operation(*args, **kwargs))
        try:
            answer, again = answer_once(
                token=token_of(request),
                key=str(key),
                fingerprint=_fingerprint(request.method, request.path, kwargs),
                work=lambda: _tried(operation, *args, **kwargs),
            )
        except OtherRequestError as error:
            raise Problem(422, str(error)) from error
        except StillRunningError as error:
            raise Problem(409, str(error), headers={"Retry-After": "2"}) from error
        except ClaimLostError as error:
            raise Problem(409, str(error)) from error
        response = _response(answer)
        if again:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    return sent


def _tried(operation: Callable[P, Answer], *args: P.args, **kwargs: P.kwargs) -> Answer:
    """Do the deed in a transaction of its own; a refusal is an answer that is given again too."""
    try:
        with transaction.atomic():
            return operation(*args, **kwargs)
    except Exception as error:
        problem = explained(error)
        if problem is None or problem.status >= _SERVER:
            raise
        return Answer(problem.status, _json(problem.facts()))


def _fingerprint(method: str, path: str, given: dict[str, Any]) -> str:
    """Return what tells one request from another: method, address and content, not its spelling."""
    digest = hashlib.sha256(f"{method} {path}\n".encode())
    for name, value in sorted(given.items()):
        if name == "idempotency_key":
            continue
        digest.update(f"{name}\n".encode())
        if isinstance(value, UploadedFile):
            content = hashlib.sha256()
            for chunk in value.chunks(_CHUNK):
                content.update(chunk)
            value.seek(0)
            digest.update(content.hexdigest().encode())
        elif isinstance(value, Schema):
            digest.update(_json(value.model_dump()).encode())
        else:
            digest.update(_json(value).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def _json(value: Any) -> str:
    return json.dumps(value, cls=NinjaJSONEncoder)


def _response(answer: Answer) -> HttpResponse:
    kind = MEDIA_TYPE if answer.status >= _BAD else _JSON
    return HttpResponse(answer.body, status=answer.status, content_type=kind)
