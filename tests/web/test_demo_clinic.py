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

from classifier.choices import Modality, OutcomeKind, Role, State
from classifier.models import (
    Analysis,
    AuditEvent,
    Clinic,
    Disagreement,
    Image,
    LabelSet,
    Membership,
    Outcome,
    Patient,
    Reading,
    ReadingRequest,
    Review,
    User,
)
from classifier.services import demo, demo_past
from classifier.services.demo import DEMO_CLINIC, DEMO_PEOPLE, seed_demo
from classifier.services.demo_past import PastCounts, seed_past
from classifier.services.errors import RuleError
from classifier.services.readings import save_reading
from tests.factories import PASSWORD
from tests.web import answered as make

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


def answer_everything() -> None:
    """Let a network have answered whatever waits, as it would the drawings."""
    for analysis in Analysis.objects.filter(state=State.QUEUED).select_related("image"):
        dark = analysis.image.lesion and analysis.image.lesion.label.startswith("Dark")
        top = "melanoma" if dark else "nevus"
        said = make.predict(analysis.image, top=top)
        Analysis.objects.filter(pk=analysis.pk).update(
            state=State.SUCCEEDED,
            attempt=1,
            prediction=said,
            model_version=said.model_version,
            decision=said.decision,
            top_label=top,
            finished_at=timezone.now(),
        )


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_past, "_SIZE", (320, 240))
    monkeypatch.setattr(demo_past, "_POLL_SECONDS", 0.0)


@pytest.mark.usefixtures("_small")
def test_the_past_fills_the_pages_that_live_on_it(client: Client) -> None:
    seed_demo(password=PASSWORD, patients=0)
    assert seed_past(patients=4) == PastCounts(images=12, cases=0, left=12)
    answer_everything()
    assert seed_past(patients=4) == PastCounts(images=0, cases=12, left=0)
    kim, alex = (User.objects.get(email=DEMO_PEOPLE[at].email) for at in (0, 2))
    assert Review.objects.count() == Outcome.objects.count() == 10
    assert set(Review.objects.values_list("verdict", flat=True)) == {"agree", "overrule"}
    assert set(Outcome.objects.values_list("kind", flat=True)) == set(OutcomeKind.values)
    assert Reading.objects.filter(blinded=False).count() == 0
    waiting = ReadingRequest.objects.open().get()
    assert (waiting.requested_by, waiting.asked) == (alex, kim)
    apart = Disagreement.objects.open().get()
    assert apart.difference == "group"
    # A look at the answer comes after the reading, and nobody looked at what they still read.
    seen = AuditEvent.objects.filter(action="answer.viewed").values_list("subject_id", flat=True)
    assert str(waiting.analysis_id) not in seen
    # Running it again, in whatever order, changes nothing.
    events = AuditEvent.objects.count()
    assert seed_past(patients=4) == PastCounts(images=0, cases=0, left=0)
    assert AuditEvent.objects.count() == events

    client.force_login(kim, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get("/readings/").context["page"].rows == [waiting]
    assert len(client.get("/readings/?tab=differ").context["lines"]) == 1
    assert client.get("/figures/").status_code == client.get("/outcomes/").status_code == 200


@pytest.mark.usefixtures("_small")
def test_what_was_cut_short_is_finished_and_what_somebody_began_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seed_demo(password=PASSWORD, patients=0)
    kim = User.objects.get(email=DEMO_PEOPLE[0].email)
    make.version_of(LabelSet.ISIC9)
    # No worker: it waits as long as it may, and says what is left.
    assert seed_past(patients=1, wait_seconds=0.01).left == 3
    answer_everything()
    begun = Analysis.objects.order_by("created_at", "pk").first()
    assert begun is not None
    save_reading(analysis=begun, by=kim, diagnosis="nevus")
    monkeypatch.setattr(demo_past, "record_outcome", _refuse)
    assert seed_past(patients=1).cases == 0
    assert Reading.objects.count() == 1
    monkeypatch.undo()
    assert seed_past(patients=1).cases == 2
    assert begun.reviews.count() == 0


def _refuse(**_facts: Any) -> None:
    msg = "Somebody was faster."
    raise RuleError(msg)


def test_there_is_no_past_where_there_is_no_demo_clinic(settings: LazySettings) -> None:
    with pytest.raises(RuleError, match="no demo clinic"):
        seed_past()
    seed_demo(password=PASSWORD, patients=0)
    settings.DEMO_CLINIC = False
    with pytest.raises(RuleError, match="no demo clinic"):
        seed_past()
