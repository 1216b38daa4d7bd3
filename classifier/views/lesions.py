"""One lesion over time: its timeline, and two of its pictures beside each other."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from classifier.forms.lesions import CompareForm
from classifier.models import Lesion
from classifier.querysets.people import WRITING_ROLES
from classifier.selectors.comparison import compare, dates_of, pair_of
from classifier.selectors.lesions import lesions_with_span
from classifier.selectors.outcomes import outcome_facts, outcome_of
from classifier.selectors.patients import timeline
from classifier.selectors.workplace import workplace_of
from classifier.services import audit
from classifier.services.results import record_answers_viewed
from classifier.views.access import person, visible_or_404

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

    from classifier.models import User


@require_safe
def lesion_detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a lesion's pictures by date, with what the network and the clinicians said of each."""
    user = person(request)
    lesions: Any = lesions_with_span().annotate(outcome=outcome_facts("pk"))
    lesion = visible_or_404(lesions, user, pk)
    note_view(lesion, user, "lesion.viewed")
    page, entries = timeline(
        lesion.patient, user, cursor=request.GET.get("cursor", ""), lesion=lesion, reviewed=True
    )
    # What every page knows anyway says what the person may do here.
    work = workplace_of(user)
    role = next((own.my_role for own in work["clinics"] if own.pk == lesion.clinic_id), "")
    may_add = role in WRITING_ROLES and not lesion.patient.archived
    upload = reverse("image_upload", args=[lesion.patient_id]) + f"?lesion={lesion.pk}"
    context = work | {
        "lesion": lesion,
        "patient": lesion.patient,
        "page": page,
        "entries": entries,
        "upload_address": upload if may_add else "",
        "may_write": role in WRITING_ROLES,
        "outcome": outcome_of(lesion.outcome),
    }
    return render(request, "lesions/detail.html", context)


@require_safe
def lesion_compare(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show two of a lesion's pictures together, and what differs in their answers."""
    user = person(request)
    lesion = visible_or_404(Lesion.objects.select_related("patient", "clinic"), user, pk)
    wanted = [_key(request.GET.get(name, "")) for name in ("a", "b")]
    images = dates_of(lesion, user, [key for key in wanted if key is not None])
    note_view(lesion, user, "lesion.compared")
    view = "overlay" if request.GET.get("view") == "overlay" else "beside"
    context: dict[str, Any] = {"lesion": lesion, "patient": lesion.patient, "view": view}
    if len(images) > 1:
        try:
            first, second = pair_of(images, *wanted)
        except LookupError as error:
            raise Http404 from error
        form = CompareForm(images=images, initial={"a": first.pk, "b": second.pk, "view": view})
        told = None if first == second else compare(first, second, user)
        if told is not None and told.shown:
            record_answers_viewed(analyses=told.shown, by=user)
        context |= {"form": form, "comparison": told}
    return render(request, "lesions/compare.html", context)


def _key(text: str) -> uuid.UUID | None:
    """Return a key from an address; None where there is none.

    Raises:
        Http404: it is no key.
    """
    try:
        return uuid.UUID(text) if text else None
    except ValueError as error:
        raise Http404 from error


def note_view(lesion: Lesion, user: User, action: str) -> None:
    """Append to the audit trail that the person looked at the lesion."""
    audit.record_view(action=action, actor=user, clinic_id=lesion.clinic_id, subject=lesion)
