"""Uploads, and the one door through which image bytes leave."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_safe

from classifier import links
from classifier.forms.images import NewPatientUploadForm, UploadForm
from classifier.intake import STATUS_OF_REFUSAL, describe_limits
from classifier.models import Image, Patient
from classifier.selectors.patients import find_for_upload
from classifier.services.errors import RuleError
from classifier.services.image_bytes import VARIANTS, open_bytes
from classifier.services.images import NOT_STORED, UploadOutcome, add_images
from classifier.services.patients import FieldRuleError, check_open
from classifier.views.access import (
    person,
    require_writing_somewhere,
    visible_or_404,
    writable_or_403,
)
from classifier.views.patients import add_rule_error, search_text
from classifier.wording import within

if TYPE_CHECKING:
    import uuid

    from django.forms import Form
    from django.http import HttpRequest

    from classifier.services.images import AddedImage, FileOutcome

logger = logging.getLogger(__name__)

_READ_AND_SEND = ["GET", "HEAD", "POST"]
# What could not be stored is no refusal: the same file is welcome in a minute.
_UNPROCESSABLE = 422
_STATUS_OF_CODE = {NOT_STORED: 503} | STATUS_OF_REFUSAL
# Nothing in the answer may run, load or be framed, whatever a browser takes it for.
_BYTES_POLICY = "default-src 'none'; sandbox"


@require_safe
def image_bytes(request: HttpRequest, pk: uuid.UUID, variant: str) -> HttpResponse | FileResponse:
    """Send the display copy or the thumbnail of an image the person may see.

    The address must have been signed for this person some minutes ago (``classifier.links``).
    """
    user = person(request)
    links.check(request)
    image = visible_or_404(Image.objects.all(), user, pk)
    if variant not in VARIANTS:
        raise Http404
    try:
        opened = open_bytes(image=image, variant=variant, by=user)
    except FileNotFoundError as error:
        raise Http404 from error
    except OSError:
        logger.exception("the bytes of image %s cannot be read now", image.pk)
        return HttpResponse(status=503, headers={"Retry-After": "10"})
    response = FileResponse(opened, content_type="image/jpeg")
    response.headers["Content-Disposition"] = f'inline; filename="{image.pk}.jpg"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store, private"
    response.headers["Content-Security-Policy"] = _BYTES_POLICY
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


@require_http_methods(_READ_AND_SEND)
def image_upload(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Add images to a patient's record."""
    user = person(request)
    patient = writable_or_403(Patient.objects.select_related("clinic"), user, pk)
    sent = request.method == "POST"
    form = UploadForm(
        request.POST if sent else None,
        request.FILES if sent else None,
        patient=patient,
        initial={"lesion": request.GET.get("lesion", "")},
    )
    if sent and form.is_valid():
        try:
            outcome = add_images(patient=patient, by=user, **_upload_facts(form))
        except RuleError as error:
            _tell(error, form, form)
        else:
            return _answer(request, outcome, form, {"patient": patient})
    return _form_page(request, form, {"patient": patient, "closed": _closed(patient, request)})


@require_http_methods(_READ_AND_SEND)
def analysis_new(request: HttpRequest) -> HttpResponse:
    """Search a patient to send images for, or register one together with their first images."""
    user = person(request)
    require_writing_somewhere(user)
    sent = request.method == "POST"
    form = UploadForm(request.POST if sent else None, request.FILES if sent else None)
    patient_form = NewPatientUploadForm(request.POST if sent else None, user=user)
    text = search_text(request)
    context = {
        "patient_form": patient_form,
        "text": text,
        "found": find_for_upload(user, text),
    }
    # Both halves are always validated: a person corrects a form once.
    if sent and all([patient_form.is_valid(), form.is_valid()]):
        try:
            outcome = add_images(patient=patient_form.new_patient(), by=user, **_upload_facts(form))
        except RuleError as error:
            _tell(error, form, patient_form)
        else:
            return _answer(request, outcome, form, context)
    return _form_page(request, form, context)


def _upload_facts(form: UploadForm) -> dict[str, Any]:
    return {
        "uploads": form.cleaned_data["images"],
        "modality": form.cleaned_data["modality"],
        "lesion": form.chosen_lesion(),
        "taken_at": form.cleaned_data["taken_at"],
    }


def _tell(error: RuleError, form: UploadForm, otherwise: Form) -> None:
    """Show a broken rule of a new lesion beside the upload's field, any other where it belongs."""
    if isinstance(error, FieldRuleError) and error.field == "label":
        form.add_error("lesion_label", str(error))
    else:
        add_rule_error(otherwise, error)


def _closed(patient: Patient, request: HttpRequest) -> str:
    """Return the sentence that says why nothing can be added, or nothing."""
    try:
        check_open(patient, person(request))
    except RuleError as error:
        return str(error)
    return ""


def _answer(
    request: HttpRequest, outcome: UploadOutcome, form: UploadForm, context: dict[str, Any]
) -> HttpResponse:
    """Answer a form whose files were looked at, each of them taken or refused."""
    status = 200 if outcome.added else _refusal_status(outcome.refused)
    if _wants_json(request):
        told = [_told(file, form.cleaned_data["modality"]) for file in outcome.files]
        return JsonResponse({"files": told}, status=status)
    patient = outcome.patient
    if outcome.refused or patient is None:
        if patient is not None and "patient" not in context:
            # The patient is registered now; what is left to do is sending the refused files anew.
            context = {"patient": patient}
            form = UploadForm(initial={"modality": form.cleaned_data["modality"]}, patient=patient)
        context = context | {"outcome": outcome}
        status = _refusal_status(outcome.refused)
        return _render_form(request, form, context, status)
    if len(outcome.added) == 1:
        only = outcome.added[0]
        if only.known:
            messages.info(request, _sentence(only, form.cleaned_data["modality"]))
        return redirect(only.analysis)
    messages.success(request, _summary(outcome.added))
    return redirect(patient)


def _form_page(request: HttpRequest, form: UploadForm, context: dict[str, Any]) -> HttpResponse:
    errors = form.errors | getattr(context.get("patient_form"), "errors", {})
    if errors and _wants_json(request):
        told = {field or "__all__": list(sentences) for field, sentences in errors.items()}
        return JsonResponse({"errors": told}, status=_UNPROCESSABLE)
    return _render_form(request, form, context, _UNPROCESSABLE if errors else 200)


def _render_form(
    request: HttpRequest, form: UploadForm, context: dict[str, Any], status: int
) -> HttpResponse:
    template = "images/upload.html" if "patient" in context else "images/new.html"
    context = {
        "form": form,
        "limits": describe_limits(),
        "max_files": settings.INTAKE_MAX_FILES,
        "max_bytes": settings.INTAKE_MAX_BYTES,
    } | context
    return render(request, template, context, status=status)


def _told(file: FileOutcome, modality: str) -> dict[str, str]:
    """Return one file's line of the JSON answer; ``modality`` is what it was sent as."""
    if file.added is None:
        status = "failed" if file.code == NOT_STORED else "refused"
        return {"name": file.name, "status": status, "message": file.refusal}
    return {
        "name": file.name,
        "status": "known" if file.added.known else "queued",
        "analysis_url": reverse("analysis_detail", args=[file.added.analysis.pk]),
        "message": _sentence(file.added, modality),
    }


def _sentence(added: AddedImage, modality: str) -> str:
    sentence = _of_the_image(added, modality)
    return f"{sentence} {_where_filed(added)}" if added.other_lesion else sentence


def _where_filed(added: AddedImage) -> str:
    lesion = added.image.lesion
    if lesion is None:
        return _("It is filed under no lesion and stays so, whatever you chose now.")
    return _(
        "It is filed under the lesion “%(lesion)s” and stays there, whatever you chose now."
    ) % {"lesion": lesion}


def _of_the_image(added: AddedImage, modality: str) -> str:
    facts = {"modality": within(added.image.get_modality_display())}
    if added.known and added.image.modality != modality:
        return (
            _(
                "This image is in the record already, as %(modality)s, and stays so. If that is "
                "wrong, correct the modality on the page of its analysis."
            )
            % facts
        )
    if added.known:
        return (
            _(
                "This image is in the record already (%(modality)s). It was not added again; "
                "here is its analysis."
            )
            % facts
        )
    return _("Added. The analysis is queued.")


def _summary(added: list[AddedImage]) -> str:
    known = sum(1 for image in added if image.known)
    new = len(added) - known
    sentences = []
    if new:
        sentences.append(
            ngettext(
                "%(count)d image was added; its analysis is queued.",
                "%(count)d images were added; their analyses are queued.",
                new,
            )
            % {"count": new}
        )
    if known:
        sentences.append(
            ngettext(
                "%(count)d image was in the record already.",
                "%(count)d images were in the record already.",
                known,
            )
            % {"count": known}
        )
    elsewhere = sum(1 for image in added if image.other_lesion)
    if elsewhere:
        sentences.append(
            ngettext(
                "%(count)d of them is filed under another lesion than the one you chose, or under "
                "none, and stays so.",
                "%(count)d of them are filed under another lesion than the one you chose, or under "
                "none, and stay so.",
                elsewhere,
            )
            % {"count": elsewhere}
        )
    return " ".join(sentences)


def _refusal_status(refused: list[FileOutcome]) -> int:
    statuses = {_STATUS_OF_CODE.get(file.code, _UNPROCESSABLE) for file in refused}
    return statuses.pop() if len(statuses) == 1 else _UNPROCESSABLE


def _wants_json(request: HttpRequest) -> bool:
    return "application/json" in request.headers.get("Accept", "")
