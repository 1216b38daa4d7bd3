"""Sending images, and listing a patient's.

Annotations are read at run time here, so there is no ``from __future__ import annotations``.
"""

import uuid
from datetime import UTC
from typing import Annotated, Any

from django.db.models import F
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import File, Form, Router
from ninja.files import UploadedFile

from classifier.api.analyses import told_analysis
from classifier.api.auth import TAKES_A_FILE, Token, token_of
from classifier.api.once import Key, done, once
from classifier.api.reach import PAGE, Limit, page_of, seen, visible, written
from classifier.api.schemas import ImageIn, ImageOut, ImagePage
from classifier.choices import Modality, Scope
from classifier.models import Analysis, Image, Patient
from classifier.services import audit
from classifier.services.images import add_image
from classifier.services.sent_once import Answer

router = Router(tags=["Images"])


def told_image(
    image: Image,
    analysis: Analysis | None,
    *,
    revealed: bool,
    known: bool = False,
    other_lesion: bool = False,
) -> ImageOut:
    """Return an image and its newest analysis for the modality that it has."""
    if analysis is not None:
        analysis.image = image
    return ImageOut(
        id=image.pk,
        patient=image.patient_id,
        lesion=image.lesion_id,
        modality=Modality(image.modality),
        # In one notation, whatever it came in.
        taken_at=image.taken_at.astimezone(UTC) if image.taken_at else None,
        uploaded_at=image.created_at,
        width=image.width,
        height=image.height,
        analysis=told_analysis(analysis, revealed=revealed) if analysis is not None else None,
        known=known,
        other_lesion=other_lesion,
    )


@router.get(
    "/patients/{uuid:patient}/images",
    response=ImagePage,
    auth=Token(Scope.READ),
    url_name=TAKES_A_FILE,
    summary="List the images of a patient",
)
def list_images(
    request: HttpRequest,
    patient: uuid.UUID,
    after: uuid.UUID | None = None,
    limit: Limit = PAGE,
) -> Any:
    """List a patient's images, newest first, each with the newest analysis for its modality."""
    token = token_of(request)
    row = seen(Patient.objects.all(), token, patient)
    mine = (
        visible(Image.objects.all(), token)
        .filter(patient=row)
        .annotate(moment=Coalesce("taken_at", "created_at"))
    )
    images, following = page_of(
        mine, order=("-moment", "-id"), after=after, limit=limit, anchors=mine
    )
    audit.record_view(
        action="patient.viewed", actor=token.user, clinic_id=row.clinic_id, subject=row
    )
    newest: dict[Any, Analysis] = {}
    made = Analysis.objects.filter(image__in=images, modality=F("image__modality"))
    for analysis in made.order_by("created_at", "id"):
        newest[analysis.image_id] = analysis
    keys = [analysis.pk for analysis in newest.values()]
    revealed = set(
        Analysis.objects.revealed_to(token.user).filter(pk__in=keys).values_list("pk", flat=True)
    )
    items = []
    for image in images:
        latest = newest.get(image.pk)
        items.append(
            told_image(image, latest, revealed=latest is not None and latest.pk in revealed)
        )
    return ImagePage(items=items, next=following)


@router.post(
    "/patients/{uuid:patient}/images",
    response={200: ImageOut, 201: ImageOut},
    auth=Token(Scope.UPLOAD),
    url_name=TAKES_A_FILE,
    summary="Send an image of a patient",
)
@once
def create_image(
    request: HttpRequest,
    patient: uuid.UUID,
    facts: Annotated[ImageIn, Form()],
    image: Annotated[UploadedFile, File(description="JPEG, PNG, WebP, TIFF, HEIC or BMP.")],
    idempotency_key: Key = None,
) -> Answer:
    """Add an image to a patient's record and queue its analysis.

    The same bytes for the same patient give the image that is there already (``known``), under the
    lesion where it is; ``other_lesion`` says that it was sent for another one, or for none.
    """
    token = token_of(request)
    row = written(Patient.objects.select_related("clinic"), token, patient)
    lesion = get_object_or_404(row.lesions, pk=facts.lesion) if facts.lesion else None
    added = add_image(
        patient=row,
        by=token.user,
        upload=image,
        modality=facts.modality,
        lesion=lesion,
        taken_at=facts.taken_at,
    )
    revealed = Analysis.objects.revealed_to(token.user).filter(pk=added.analysis.pk).exists()
    return done(
        told_image(
            added.image,
            added.analysis,
            revealed=revealed,
            known=added.known,
            other_lesion=added.other_lesion,
        ),
        status=200 if added.known else 201,
        patient=row,
    )
