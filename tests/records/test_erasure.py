"""A patient is erased whole, only by who may, and a tombstone of identifiers and dates stays."""

from __future__ import annotations

import json
import threading
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.management import CommandError, call_command
from django.db import InternalError, connection, transaction
from django.urls import reverse
from django.utils import timezone

from classifier.models import AuditEvent, BreakGlass, Disagreement, Erasure, Lesion, Patient, Review
from classifier.services import erasure
from classifier.services.consents import record_consent
from classifier.services.errors import RuleError
from classifier.services.import_archives import lock_imports
from classifier.services.outcomes import record_outcome
from classifier.services.patients import update_patient
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from classifier.tasks import finish_erasures_task
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import (
        DjangoCaptureOnCommitCallbacks,
    )
    from pytest_django.fixtures import (
        Settings as SettingsWrapper,
    )

    from classifier.models import ImportRun
    from tests.conftest import Cast

REASON = "The patient asked for it."


def whole_story(cast: Cast, patient: Patient) -> None:
    """Leave rows of every kind that can be about a patient."""
    lesion = Lesion.objects.create(
        clinic=patient.clinic, patient=patient, label="mole of Ada", created_by=cast.owner
    )
    image = factories.make_image(patient, cast.owner, lesion=lesion)
    analysis = make.answered(image, cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    record_outcome(
        lesion=lesion,
        by=cast.owner,
        kind="histopathology",
        diagnosis="nevus",
        found_on=timezone.localdate(),
        expected_number=0,
        reference="Ada's block",
    )
    request_second_reading(analysis=analysis, by=cast.owner, asked=None)
    assert patient.clinic.pk == Disagreement.objects.get(analysis=analysis).clinic_id
    save_review(
        analysis=analysis, by=cast.owner, verdict="agree", expected_number=0, notes="Ada herself"
    )
    record_consent(
        patient=patient,
        by=cast.owner,
        use="teaching",
        given=True,
        decided_on=timezone.localdate(),
        note="Ada's paper",
    )
    BreakGlass.objects.create(
        user=cast.stranger,
        clinic=patient.clinic,
        patient=patient,
        reason="emergency",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    update_patient(patient=patient, by=cast.owner, notes="Ada moved")
    for row in (patient, lesion, image, analysis):
        LogEntry.objects.create(
            user=cast.superuser,
            content_type=ContentType.objects.get_for_model(row),
            object_id=str(row.pk),
            object_repr=str(row),
            action_flag=CHANGE,
        )


def everywhere(text: str) -> list[str]:
    """Return the tables in which a text stands, whatever the column."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            look = f"SELECT 1 FROM {name} AS t WHERE t::text LIKE %s LIMIT 1"  # noqa: S608 - our own tables
            cursor.execute(look, [f"%{text}%"])
            if cursor.fetchone():
                found.append(table)
    return sorted(found)


def test_nothing_is_left_but_the_tombstone_and_the_audit_trail(
    cast: Cast,
    settings: SettingsWrapper,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole_story(cast, cast.patient)
    neighbour = factories.make_patient(cast.clinic, cast.owner, name="Grace Other")
    whole_story(cast, neighbour)
    media: Path = settings.MEDIA_ROOT
    assert len([path for path in media.rglob("*") if path.is_file()]) == 6
    key = str(cast.patient.pk)
    facts: dict[str, Any] = {
        "patient_key": cast.patient.pk,
        "reason": REASON,
        "confirmation": cast.patient.record_number,
    }
    for by in (cast.owner, cast.read_only, cast.stranger):
        with pytest.raises(RuleError, match="administrator"):
            erasure.erase_patient(by=by, **facts)
    for wrong in ({"reason": " "}, {"confirmation": "MRN"}):
        with pytest.raises(RuleError):
            erasure.erase_patient(by=cast.administrator, **(facts | wrong))
    assert Patient.objects.filter(pk=key).exists()
    assert not Erasure.objects.exists()

    # The process dies after the commit, before a file is removed.
    with monkeypatch.context() as patched:
        patched.setattr(erasure, "finish_erasure", lambda _tombstone: False)
        with django_capture_on_commit_callbacks(execute=True):
            erasure.erase_patient(by=cast.administrator, **facts)
    tombstone = Erasure.objects.get(patient_key=key)
    assert len(tombstone.files) == 3
    assert tombstone.files_removed_at is None
    finish_erasures_task()
    tombstone = Erasure.objects.get(patient_key=key)
    assert (tombstone.files, tombstone.erased_by) == ([], cast.administrator)
    assert tombstone.files_removed_at is not None

    # No table but these two knows the identifier, and none the person's name.
    assert everywhere(key) == ["classifier_auditevent", "classifier_erasure"]
    assert everywhere("Ada Example") == []
    assert everywhere("Ada moved") == ["classifier_patient", "classifier_patientevent"]
    assert not Review.objects.filter(analysis__patient_id=key).exists()
    # The neighbour lost nothing.
    assert len([path for path in media.rglob("*") if path.is_file()]) == 3
    assert neighbour.images.count() == neighbour.analyses.count() == 1
    assert Review.objects.get().analysis.patient == neighbour
    event = AuditEvent.objects.get(action="patient.erased")
    assert (event.actor, event.reason, event.patient_key) == (
        cast.administrator,
        REASON,
        cast.patient.pk,
    )

    # Twice is once, and the door is shut again behind it.
    again = erasure.erase_patient(by=cast.administrator, **facts)
    assert again.pk == tombstone.pk
    assert Erasure.objects.count() == 1
    refuse_deletions()
    # A superuser erases from the command line; what is no patient is said plainly.
    superuser = {"by": cast.superuser.email, "reason": REASON, "confirm": "nonsense"}
    with pytest.raises(CommandError, match="record number"):
        call_command("erase_patient", str(neighbour.pk), **superuser)
    superuser["confirm"] = neighbour.record_number
    with django_capture_on_commit_callbacks(execute=True):
        call_command("erase_patient", str(neighbour.pk), **superuser)
    assert [path for path in media.rglob("*") if path.is_file()] == []
    assert everywhere("Grace Other") == []


def refuse_deletions() -> None:
    """Check that a session cannot simply claim to be erasing somebody who has no tombstone."""
    review = Review.objects.select_related("analysis").get()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('skinapp.erasing', %s, true)", [str(review.analysis.patient_id)]
        )
        for table in ("review", "reading", "transition", "prediction", "consent", "patientevent"):
            with pytest.raises(InternalError, match="append_only"), transaction.atomic():
                cursor.execute(f"DELETE FROM classifier_{table}")  # noqa: S608 - the names above
        for deed in (
            "DELETE FROM classifier_erasure",
            "UPDATE classifier_erasure SET erased_at = now()",
        ):
            with pytest.raises(InternalError, match="erasure"), transaction.atomic():
                cursor.execute(deed)
        cursor.execute("SELECT set_config('skinapp.erasing', '', true)")


@pytest.mark.django_db(transaction=True)
def test_two_who_erase_at_once_both_find_the_patient_erased(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has looked for a tombstone already and waits for the row that then is gone."""
    factories.make_image(cast.patient, cast.owner)
    client = cast.client_of(cast.administrator)
    form = {"reason": REASON, "confirmation": cast.patient.record_number}
    address = reverse("patient_erase", args=[cast.patient.pk])
    both = threading.Barrier(2)
    answers: list[tuple[int, str]] = []

    def together(patient: Patient) -> list[ImportRun]:
        both.wait(20)
        return lock_imports(patient)

    def send() -> None:
        try:
            response = client.post(address, form)
            answers.append((response.status_code, response.headers.get("Location", "")))
        finally:
            connection.close()

    monkeypatch.setattr(erasure, "lock_imports", together)
    client.raise_request_exception = False
    senders = [threading.Thread(target=send) for _ in range(2)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert answers == [(302, reverse("patient_list"))] * 2
    assert Erasure.objects.get().files == []
    assert AuditEvent.objects.filter(action="patient.erased").count() == 1
    with pytest.raises(Patient.DoesNotExist):
        erasure.erase_patient(
            patient_key=uuid.uuid4(), by=cast.administrator, reason=REASON, confirmation="x"
        )


def test_every_table_about_a_patient_is_known_to_the_erasure(cast: Cast) -> None:
    """A new model that points at a patient's rows must be erased too."""
    known = {rows.model for rows in erasure.rows_of(cast.patient)}
    owned = {"patient", "lesion", "image", "analysis", "prediction", "review", "reading"}
    pointing = {
        model
        for model in apps.get_models()
        for field in model._meta.concrete_fields
        if field.remote_field is not None
        and field.remote_field.model._meta.app_label == "classifier"
        and field.remote_field.model._meta.model_name in owned
    }
    assert pointing <= known
    assert json.dumps(sorted(model.__name__ for model in known - pointing)) == (
        '["LogEntry", "Patient"]'
    )
