"""Facts about a model version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from classifier.models import ModelVersion
from mlcore.labels import label_set

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse


@require_safe
def model_version_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a version's labels, limits and measured figures. Networks belong to no clinic."""
    version = get_object_or_404(ModelVersion, pk=pk)
    test = version.metrics.get("figures", {}).get("test", {})
    labels = label_set(version.label_set)
    per_label = [(label, test.get("labels", {}).get(label.key)) for label in labels.labels]
    context = {"version": version, "labels": labels, "test": test, "per_label": per_label}
    return render(request, "models/detail.html", context)
