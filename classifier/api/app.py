"""The API put together: its operations, its addresses and its OpenAPI schema."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern
from ninja import NinjaAPI

from classifier.api import analyses, images, networks, patients, register
from classifier.api.auth import Token, in_its_name
from classifier.api.problems import MEDIA_TYPE, answer_problems

if TYPE_CHECKING:
    from ninja.operation import Operation

PREFIX = "/api/v1"
_DESCRIPTION = (
    "What the pages do, for programs: the same permissions, the same rules, the same audit trail. "
    "Every request carries a token (`Authorization: Bearer …`) that its owner made on the page "
    "“API tokens”. It works in one clinic, for a while, within its scopes, and stops at once when "
    "it is revoked or its owner leaves. What the network says is no diagnosis."
)
_PROBLEM = {
    "type": "object",
    "title": "Problem",
    "description": "Why something was refused (RFC 9457).",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and how to do it right."},
        "reference": {"type": "string", "description": "What to tell the operator."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                "required": ["field", "message"],
            },
        },
    },
    "required": ["type", "title", "status", "detail", "reference"],
}
# What every operation may answer, and what those with a body may answer besides.
_ALWAYS = {
    400: "The request cannot be read.",
    401: "No token, or one that does not work (any more).",
    403: "The token's scopes, or its owner's role, do not cover this.",
    404: "There is no such thing, or the token does not reach it.",
    413: "The body is too large.",
    422: "The request does not fit the schema, or a rule forbids it.",
    429: "Too many requests; “Retry-After” says when to go on.",
    500: "A fault on our side; the reference finds it in the log.",
    503: "A part is away; “Retry-After” says when to try again.",
}
_WITH_A_BODY = {
    409: "Somebody was faster, or the same request is being worked on.",
    415: "The body is of another kind than the operation takes.",
}


class Api(NinjaAPI):
    """NinjaAPI whose schema tells of refusals as they are."""

    def get_openapi_operation_id(self, operation: Operation) -> str:
        """Return the name of the operation's function: a client's method is called like that."""
        return str(operation.view_func.__name__)

    def get_openapi_schema(self, **kwargs: Any) -> Any:
        """Return the OpenAPI 3.1 document."""
        schema = super().get_openapi_schema(**kwargs)
        schema["components"]["schemas"]["Problem"] = _PROBLEM
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        for operations in schema["paths"].values():
            for method, operation in operations.items():
                told = _ALWAYS | (_WITH_A_BODY if method == "post" else {})
                operation["responses"] |= {
                    status: {"description": words, "content": content}
                    for status, words in told.items()
                }
        return schema


api = Api(
    title="Skinapp",
    version="1",
    description=_DESCRIPTION,
    urls_namespace="api",
    openapi_url=None,
    docs_url=None,
)
answer_problems(api)
api.add_decorator(in_its_name)
api.add_router("", networks.own)
api.add_router("", patients.router)
api.add_router("", images.router)
api.add_router("", analyses.router)
api.add_router("", register.router)
api.add_router("", networks.router)


def addresses() -> list[URLPattern]:
    """Return the addresses of all operations.

    The token decides who gets in: the pages' demand for a session does not apply.
    """
    found = []
    for pattern in api.urls[0]:
        # Not ninja's own start page, which says nothing.
        if isinstance(pattern, URLPattern) and pattern.name != "api-root":
            pattern.callback = login_not_required(pattern.callback)
            found.append(pattern)
    return found


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """Return the OpenAPI document; it is the same for everybody."""
    return dict(api.get_openapi_schema(path_prefix=PREFIX.lstrip("/") + "/"))


@lru_cache(maxsize=1)
def scopes() -> dict[str, str]:
    """Return the scope that each operation demands, by ``operationId``; "" for none."""
    found = {}
    for _prefix, router in api._routers:  # noqa: SLF001 - ninja offers no other list
        for view in router.path_operations.values():
            for operation in view.operations:
                asked = next(iter(operation.auth_callbacks))
                scope = asked.scope if isinstance(asked, Token) else None
                found[api.get_openapi_operation_id(operation)] = scope.value if scope else ""
    return found
