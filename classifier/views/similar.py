"""Confirmed cases that look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from classifier.choices import State
from classifier.models import Analysis
from classifier.selectors.similar import similar_cases
from classifier.services import audit
from classifier.services.results import record_answers_viewed
from classifier.views.access import person

if TYPE_CHECKING:
    import uuid

    from django.http import HttpRequest, HttpResponse


@require_safe
def analysis_similar(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show the confirmed cases that a network places nearest to an image.

    Which they are hints at the answer: who must read the image first finds no such page.
    """
    user = person(request)
    rows = Analysis.objects.revealed_to(user).filter(state=State.SUCCEEDED)
    analysis = get_object_or_404(rows.select_related("patient", "image__lesion"), pk=pk)
    cases = similar_cases(analysis, user)
    audit.record_view(
        action="similar.viewed", actor=user, clinic_id=analysis.clinic_id, subject=analysis
    )
    if cases:
        # What was decided about them is no secret from this person any more.
        record_answers_viewed(analyses=[case.analysis for case in cases], by=user)
    part = request.headers.get("HX-Request") == "true"
    template = "analyses/_similar.html" if part else "analyses/similar.html"
    return render(request, template, {"analysis": analysis, "cases": cases, "part": part})
