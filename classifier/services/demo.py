"""The demo clinic: accounts, drawn patients and drawn images.

Every picture is drawn by ``mlcore.drawing``; no patient's image ships with the project.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.choices import BodySite, Modality, Role, Sex, SkinType
from classifier.models import Clinic, Membership, Patient, User
from classifier.services.errors import RuleError
from classifier.services.images import add_image
from classifier.services.patients import add_lesion, register_patient
from mlcore.drawing import draw_clinical, draw_dermoscopy

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

DEMO_CLINIC = "Demo Skin Clinic"


@dataclass(frozen=True)
class DemoPerson:
    """A demo account."""

    email: str
    first_name: str
    last_name: str
    role: str
    is_superuser: bool
    description: str


DEMO_PEOPLE = (
    DemoPerson(
        "clinician@demo.example",
        "Kim",
        "Clinician",
        Role.CLINICIAN,
        is_superuser=False,
        description="registers patients, uploads images, reviews",
    ),
    DemoPerson(
        "reader@demo.example",
        "Rae",
        "Reader",
        Role.READ_ONLY,
        is_superuser=False,
        description="sees everything in the clinic, changes nothing",
    ),
    DemoPerson(
        "admin@demo.example",
        "Alex",
        "Admin",
        Role.ADMINISTRATOR,
        is_superuser=True,
        description="clinic administrator and superuser: also enters the admin panel",
    ),
)

# (name, year of birth, sex, skin type)
_PATIENTS = (
    ("Maria Sommer", 1957, Sex.FEMALE, SkinType.II),
    ("Jonas Lind", 1984, Sex.MALE, SkinType.I),
    ("Amara Okafor", 1992, Sex.FEMALE, SkinType.VI),
    ("Peter Novak", 1946, Sex.MALE, SkinType.III),
    ("Li Wei", 2008, Sex.FEMALE, SkinType.IV),
    ("Sam Rivera", 1971, Sex.OTHER, SkinType.UNKNOWN),
)
# What each drawn patient has: (lesion label, site, kind drawn, modality).
_FINDINGS = (
    ("Mole between the shoulder blades", BodySite.BACK, "melanoma", Modality.DERMOSCOPY),
    ("Brown spot on the forearm", BodySite.FOREARM, "nevus", Modality.DERMOSCOPY),
    ("Rash on both cheeks", BodySite.FACE, "acne", Modality.CLINICAL),
    ("Shiny bump on the nose", BodySite.FACE, "basal_cell_carcinoma", Modality.DERMOSCOPY),
    ("Round patch on the thigh", BodySite.THIGH, "ring_worm", Modality.CLINICAL),
    ("Waxy spot on the chest", BodySite.CHEST, "seborrheic_keratosis", Modality.DERMOSCOPY),
    ("Red dot on the abdomen", BodySite.ABDOMEN, "vascular_lesion", Modality.DERMOSCOPY),
    ("Pale patches on the hands", BodySite.HAND, "vitiligo", Modality.CLINICAL),
    ("Firm bump on the lower leg", BodySite.LOWER_LEG, "dermatofibroma", Modality.DERMOSCOPY),
)

# How the first patient's first finding looked so many days ago: there is something to compare.
_EARLIER = {224: "nevus"}


@dataclass(frozen=True)
class SeedCounts:
    """How much a run of :func:`seed_demo` made."""

    accounts: int
    patients: int
    images: int


def seed_demo(*, password: str, patients: int = len(_PATIENTS)) -> SeedCounts:
    """Make whatever of the demo clinic is missing; existing accounts keep their password.

    Raises:
        RuleError: the settings do not allow a demo clinic here.
    """
    if not settings.DEMO_CLINIC:
        raise RuleError(
            _("No demo clinic is made beside real patients. Set DEMO_CLINIC=1 if there are none.")
        )
    clinic, _made = Clinic.objects.get_or_create(name=DEMO_CLINIC)
    accounts = sum(_seed_person(clinic, person, password) for person in DEMO_PEOPLE)
    clinician = User.objects.get(email=DEMO_PEOPLE[0].email)
    registered = images = 0
    for index in range(patients):
        patient, new = _seed_patient(clinic, clinician, index)
        registered += new
        if new:
            images += _seed_images(patient, clinician, index)
    return SeedCounts(accounts=accounts, patients=registered, images=images)


@transaction.atomic
def _seed_person(clinic: Clinic, person: DemoPerson, password: str) -> bool:
    user = User.objects.filter(email=person.email).first()
    new = user is None
    if user is None:
        user = User.objects.create_user(
            person.email,
            password,
            first_name=person.first_name,
            last_name=person.last_name,
            is_staff=person.is_superuser,
            is_superuser=person.is_superuser,
        )
    Membership.objects.get_or_create(user=user, clinic=clinic, defaults={"role": person.role})
    return new


def _seed_patient(clinic: Clinic, clinician: User, index: int) -> tuple[Patient, bool]:
    number = f"DEMO-{index + 1:03}"
    existing = Patient.objects.filter(clinic=clinic, record_number=number).first()
    if existing is not None:
        return existing, False
    name, born, sex, skin_type = _PATIENTS[index % len(_PATIENTS)]
    if index >= len(_PATIENTS):
        name = f"{name} {index // len(_PATIENTS) + 1}"
    patient = register_patient(
        clinic=clinic,
        by=clinician,
        record_number=number,
        name=name,
        date_of_birth=date(born, 1 + index % 12, 1 + index % 28),
        sex=sex,
        skin_type=skin_type,
        notes="",
    )
    return patient, True


def _seed_images(patient: Patient, clinician: User, index: int) -> int:
    findings = [_FINDINGS[(index + step * 3) % len(_FINDINGS)] for step in range(2)]
    images = 0
    for step, (label, site, kind, modality) in enumerate(findings):
        lesion = add_lesion(patient=patient, by=clinician, label=label, body_site=site)
        seed = 100 + index * 10 + step
        draw = draw_dermoscopy if modality == Modality.DERMOSCOPY else draw_clinical
        days_ago = {seed % 90: kind} | (_EARLIER if (index, step) == (0, 0) else {})
        for days, drawn in days_ago.items():
            add_image(
                patient=patient,
                by=clinician,
                upload=as_upload(draw(drawn, seed=seed)),
                modality=modality,
                lesion=lesion,
                taken_at=timezone.now() - timedelta(days=days),
            )
            images += 1
    return images


def as_upload(picture: Picture) -> SimpleUploadedFile:
    """Return a drawn picture as a browser would send it."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=92)
    return SimpleUploadedFile("drawn.jpg", buffer.getvalue(), content_type="image/jpeg")
