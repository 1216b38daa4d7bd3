"""The demo clinic: drawn, plausible, made once, and never beside real patients."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone
from PIL import Image as Pillow

from classifier.choices import Modality, Role, State
from classifier.models import Analysis, AuditEvent, Clinic, Image, Membership, Patient, User
from classifier.services import demo
from classifier.services.demo import DEMO_CLINIC, DEMO_PEOPLE, seed_demo
from classifier.services.errors import RuleError
from tests.factories import PASSWORD

if TYPE_CHECKING:
    from django.conf import LazySettings
    from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _allowed(settings: LazySettings) -> None:
    settings.DEMO_CLINIC = True


def run(**options: Any) -> str:
    """Run the command and return what it prints."""
    out = io.StringIO()
    call_command("seed_demo", stdout=out, **options)
    return out.getvalue()


def test_a_first_run_makes_a_clinic_to_look_at() -> None:
    printed = run(password=PASSWORD, patients=6)
    assert "3 accounts, 6 patients and 13 images made." in printed
    assert PASSWORD not in printed
    clinic = Clinic.objects.get(name=DEMO_CLINIC)
    assert clinic.blinded_first
    assert Patient.objects.filter(clinic=clinic).count() == 6
    born = [patient.date_of_birth for patient in Patient.objects.all()]
    assert all(day and day < timezone.localdate() for day in born)
    modalities = set(Image.objects.values_list("modality", flat=True))
    assert modalities == set(Modality.values)
    for image in Image.objects.select_related("lesion"):
        assert image.lesion is not None
        assert image.taken_at is not None
        assert image.taken_at < timezone.now()
        with Pillow.open(image.display.path) as picture:
            assert min(picture.size) >= 240
    # Every image waits for a network, and needs none to be there yet.
    assert set(Analysis.objects.values_list("state", flat=True)) == {State.QUEUED}
    assert Analysis.objects.count() == 13
    assert AuditEvent.objects.filter(action="image.added").count() == 13


def test_the_accounts_open_what_they_say(client: Client) -> None:
    run(password=PASSWORD, patients=0)
    roles = {
        membership.user.email: membership.role
        for membership in Membership.objects.select_related("user")
    }
    assert roles == {person.email: person.role for person in DEMO_PEOPLE}
    superusers = set(User.objects.filter(is_superuser=True).values_list("email", flat=True))
    assert superusers == {"admin@demo.example"}
    for person in DEMO_PEOPLE:
        assert client.login(username=person.email, password=PASSWORD)
        assert client.get(reverse("worklist")).status_code == 200
        expected = 403 if person.role == Role.READ_ONLY else 200
        assert client.get(reverse("analysis_new")).status_code == expected
        assert (client.get(reverse("admin:index")).status_code == 200) is person.is_superuser


def test_a_second_run_adds_only_what_is_missing() -> None:
    run(password=PASSWORD, patients=1)
    assert "0 accounts, 0 patients and 0 images made." in run(password="other", patients=1)
    assert User.objects.get(email="clinician@demo.example").check_password(PASSWORD)
    assert "0 accounts, 1 patients and 2 images made." in run(patients=2)
    assert Patient.objects.count() == 2
    assert Image.objects.count() == 5


def test_more_patients_than_names_have_names_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Their pictures are looked at above; drawing these too would take seconds.
    monkeypatch.setattr(demo, "_seed_images", lambda *_args: 0)
    seed_demo(password=PASSWORD, patients=7)
    names = list(Patient.objects.values_list("name", flat=True))
    assert len(names) == len(set(names)) == 7


def test_a_password_is_drawn_and_told_once() -> None:
    printed = run(patients=0)
    (line,) = [line for line in printed.splitlines() if line.startswith("Password")]
    password = line.rsplit(" ", 1)[-1]
    assert User.objects.get(email="reader@demo.example").check_password(password)
    assert "Password" not in run(patients=0)


@pytest.mark.parametrize("patients", [-1, 51])
def test_the_number_of_patients_has_bounds(patients: int) -> None:
    with pytest.raises(CommandError, match="0 to 50"):
        run(patients=patients)
    assert not Clinic.objects.exists()


def test_a_hospitals_installation_refuses(settings: LazySettings) -> None:
    settings.DEMO_CLINIC = False
    with pytest.raises(CommandError, match="real patients"):
        run(password=PASSWORD)
    with pytest.raises(RuleError):
        seed_demo(password=PASSWORD)
    assert not User.objects.exists()


def test_only_a_persons_own_machine_allows_it_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a key given, the settings draw none and write no file.
    monkeypatch.setenv("SECRET_KEY", "x" * 50)
    from skinapp.settings import base, local

    assert base.DEMO_CLINIC is False
    assert local.DEMO_CLINIC is True


def test_the_same_clinic_is_drawn_everywhere() -> None:
    seed_demo(password=PASSWORD, patients=1)
    first = set(Image.objects.values_list("original_sha256", flat=True))
    random.seed(99)
    patient = Patient.objects.get()
    patient.record_number = "MOVED"
    patient.save()
    seed_demo(password=PASSWORD, patients=1)
    fresh = Patient.objects.exclude(pk=patient.pk).get()
    assert set(fresh.images.values_list("original_sha256", flat=True)) == first
