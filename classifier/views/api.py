"""The API's schema, and the page that tells of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from classifier.api import docs
from classifier.api.app import schema, scopes
from classifier.choices import Scope

if TYPE_CHECKING:
    from django.http import HttpRequest


@login_not_required
@require_safe
def api_schema(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - Django's signature
    """Send the OpenAPI document. It says nothing of any clinic; who makes clients needs it."""
    return JsonResponse(schema())


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """Show the OpenAPI document for reading."""
    told = schema()
    context = {
        "groups": docs.operations(told, scopes()),
        "objects": docs.objects(told),
        "scopes": Scope.choices,
    }
    return render(request, "api/docs.html", context)
