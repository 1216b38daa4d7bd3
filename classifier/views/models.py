"""Facts about a model version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from classifier.models import ModelVersion
from classifier.selectors.model_versions import facts_page
from classifier.services.errors import RuleError
from classifier.services.model_versions import measured_facts

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse


@require_safe
def model_version_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a version's card and plots. Networks belong to no clinic."""
    version = get_object_or_404(ModelVersion, pk=pk)
    facts: dict[str, Any] = {}
    missing = ""
    try:
        facts = measured_facts(version=version)
    except RuleError as error:
        missing = str(error)
    context = {"page": facts_page(version, facts), "version": version, "missing": missing}
    return render(request, "models/detail.html", context)
