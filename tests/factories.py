"""Rows for tests: the smallest that the database accepts, with names that say whose they are."""

from __future__ import annotations

import functools
import hashlib
import itertools
from typing import TYPE_CHECKING, Any

from django.core.files.base import ContentFile

from classifier.choices import Modality, Role
from classifier.models import (
    Analysis,
    Clinic,
    Image,
    LabelSet,
    Lesion,
    Membership,
    ModelVersion,
    Patient,
    User,
)
from mlcore.drawing import draw_dermoscopy
from mlcore.imaging import (
    encode_display,
    encode_network_source,
    encode_thumbnail,
    network_source,
)

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

PASSWORD = "correct horse battery staple"
# Drawing a lesion takes longer than all else about a row; more tell no test any more.
_DIFFERENT_PICTURES = 16
_numbers = itertools.count(1)


def make_user(email: str | None = None, **extra: Any) -> User:
    """Make a user who signs in with ``PASSWORD``."""
    address = email or f"person{next(_numbers)}@clinic.example"
    return User.objects.create_user(address, PASSWORD, **extra)


def make_clinic(name: str | None = None, **extra: Any) -> Clinic:
    """Make a clinic."""
    return Clinic.objects.create(name=name or f"Clinic {next(_numbers)}", **extra)


def make_member(clinic: Clinic, role: str = Role.CLINICIAN, **extra: Any) -> User:
    """Make a user with a role in the clinic."""
    user = make_user(**extra)
    Membership.objects.create(user=user, clinic=clinic, role=role)
    return user


def make_patient(clinic: Clinic, by: User, **extra: Any) -> Patient:
    """Make a patient registered by ``by``."""
    number = next(_numbers)
    facts = {"record_number": f"MRN-{number:05}", "name": f"Patient {number}"} | extra
    return Patient.objects.create(clinic=clinic, created_by=by, **facts)


def make_lesion(patient: Patient, by: User, **extra: Any) -> Lesion:
    """Make a lesion of the patient."""
    facts = {"label": f"Lesion {next(_numbers)}"} | extra
    return Lesion.objects.create(clinic=patient.clinic, patient=patient, created_by=by, **facts)


@functools.cache
def _drawn(seed: int) -> tuple[int, int, tuple[bytes, bytes, bytes]]:
    """Return width, height and the stored files of a drawn nevus."""
    return _stored(draw_dermoscopy("nevus", seed=seed, size=(320, 240)))


def _stored(picture: Picture) -> tuple[int, int, tuple[bytes, bytes, bytes]]:
    source = encode_network_source(network_source(picture))
    files = (source, encode_display(picture), encode_thumbnail(picture))
    return picture.width, picture.height, files


def make_image(
    patient: Patient, by: User, *, picture: Picture | None = None, **extra: Any
) -> Image:
    """Make an image with stored files; one of a few drawn nevi unless a picture is given."""
    number = next(_numbers)
    drawn = _stored(picture) if picture else _drawn(number % _DIFFERENT_PICTURES)
    width, height, (source, display, thumbnail) = drawn
    image = Image(
        clinic=patient.clinic,
        patient=patient,
        uploaded_by=by,
        modality=extra.pop("modality", Modality.DERMOSCOPY),
        original_sha256=hashlib.sha256(f"{number}".encode()).hexdigest(),
        original_format="PNG",
        byte_size=1000 + number,
        width=width,
        height=height,
        display_sha256=hashlib.sha256(display).hexdigest(),
        thumbnail_sha256=hashlib.sha256(thumbnail).hexdigest(),
        network_source_sha256=hashlib.sha256(source).hexdigest(),
        **extra,
    )
    image.display.save("", ContentFile(display), save=False)
    image.thumbnail.save("", ContentFile(thumbnail), save=False)
    image.network_source.save("", ContentFile(source), save=False)
    image.save()
    return image


def label_set_of(image: Image) -> LabelSet:
    """Return the label set that the image's modality asks for."""
    dermoscopic = image.modality == Modality.DERMOSCOPY
    return LabelSet.ISIC9 if dermoscopic else LabelSet.CLINICAL5


def make_analysis(image: Image, by: User, **extra: Any) -> Analysis:
    """Make a queued analysis of the image."""
    return Analysis.objects.create(
        clinic=image.clinic,
        patient=image.patient,
        image=image,
        label_set=label_set_of(image),
        modality=image.modality,
        requested_by=by,
        **extra,
    )


def make_model_version(
    label_set: LabelSet = LabelSet.ISIC9, *, active: bool = True, **extra: Any
) -> ModelVersion:
    """Make a registered model version that no folder backs (for pages, not for workers)."""
    number = next(_numbers)
    facts = {
        "version": f"0.0.{number}",
        "artefact_sha256": hashlib.sha256(f"release {number}".encode()).hexdigest(),
        "manifest": {"key": label_set.value, "version": f"0.0.{number}"},
    } | extra
    return ModelVersion.objects.create(label_set=label_set, active=active, **facts)
