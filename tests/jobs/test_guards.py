"""Guards that only a race or a hand in the database meets; each was broken once to see it fail."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.utils import timezone

from classifier.choices import ActorKind, State
from classifier.models import Analysis, AuditEvent, Image, IntegrityRun, Prediction, Transition
from classifier.services import worker
from classifier.services.analyses import retry_analysis
from classifier.services.claims import claim_batch, sweep_lost_leases
from classifier.services.integrity import check_everything
from classifier.services.integrity_runs import run_of_the_night
from classifier.services.model_versions import activate_version, register_release
from classifier.services.moves import SYSTEM, move
from classifier.services.worker import run_batch
from classifier.storage import PrivateFileSystemStorage
from mlcore.labels import TRIAGE_ORDER, UNJUDGED_RANK
from mlcore.predictor import Predictor
from tests import factories
from tests.jobs.rows import let_lease_run_out, make_due, snapshot
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from classifier.services.claims import Claimed
    from tests.conftest import Cast

Networks = dict[str, "ModelVersion"]


def run_sql(*statements: str) -> None:
    """Do to the database what this application never would."""
    with connection.cursor() as cursor:
        for statement in ("SET CONSTRAINTS ALL IMMEDIATE", *statements):
            cursor.execute(statement)


def age(path: Path, hours: float) -> None:
    """Make a file look older."""
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


# --- Workers -----------------------------------------------------------------------------------


def test_what_a_worker_stored_or_gave_up_is_in_the_audit_trail(
    cast: Cast, networks: Networks
) -> None:
    sound, gone = make_due(cast), make_due(cast)
    gone.image.network_source.storage.delete(str(gone.image.network_source.name))
    run_batch(worker="host:1")
    events = {
        (event.action, event.subject_id, event.actor_kind, event.clinic_id): event.details
        for event in AuditEvent.objects.filter(action__startswith="analysis.")
    }
    facts = {"worker": "host:1", "attempt": 1}
    assert events == {
        ("analysis.answered", str(sound.pk), ActorKind.WORKER, cast.clinic.pk): facts
        | {"version": str(networks["isic9"])},
        ("analysis.failed", str(gone.pk), ActorKind.WORKER, cast.clinic.pk): facts
        | {"code": "input_missing"},
    }


def test_a_move_that_cannot_be_written_down_does_not_happen(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = make_due(cast)
    claim_batch(worker="w")
    before = snapshot(analysis)

    def fail(**_facts: Any) -> None:
        raise OSError("the disk of the database is full")

    monkeypatch.setattr(Transition.objects, "create", fail)
    with pytest.raises(OSError, match="full"):
        move(
            analysis_id=analysis.pk,
            origin=State.RUNNING,
            target=State.QUEUED,
            attempt=1,
            actor=SYSTEM,
        )
    assert snapshot(analysis) == before


def test_a_row_that_was_lost_between_claim_and_reading_is_not_taken_for_ones_own(
    cast: Cast, networks: Networks, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [0]
    analysis = make_due(cast)

    def claim_and_sleep(*, worker: str) -> Claimed | None:
        claimed = claim_batch(worker=worker)
        let_lease_run_out(analysis)
        sweep_lost_leases()
        assert claim_batch(worker="other") is not None
        return claimed

    monkeypatch.setattr(worker, "claim_batch", claim_and_sleep)
    assert run_batch(worker="slow") == 1
    held = snapshot(analysis)
    assert (held["state"], held["attempt"], held["worker"]) == (State.RUNNING, 2, "other")
    assert not Prediction.objects.exists()


def test_the_oldest_row_comes_first_whatever_its_name(cast: Cast, networks: Networks) -> None:
    rows = [make_due(cast) for _number in range(3)]
    by_name = sorted(row.pk for row in rows)
    for waited, pk in enumerate(by_name, start=1):
        due = timezone.now() - timedelta(minutes=waited)
        Analysis.objects.filter(pk=pk).update(not_before=due)
    claims = [claim_batch(worker="w", limit=1) for _number in range(3)]
    assert [pk for claim in claims if claim for pk in claim.attempts] == by_name[::-1]


def test_a_due_row_brings_no_other_with_it(cast: Cast, networks: Networks) -> None:
    due, early, held = make_due(cast), make_due(cast, waited=-60), make_due(cast, waited=60)
    first = claim_batch(worker="w", limit=1)
    assert first is not None
    assert set(first.attempts) == {held.pk}
    second = claim_batch(worker="w")
    assert second is not None
    assert second.attempts == {due.pk: 1}
    assert (snapshot(held)["attempt"], snapshot(early)["state"]) == (1, State.QUEUED)


def test_a_person_who_tries_again_gives_back_every_attempt(
    cast: Cast, networks: Networks, settings: Settings
) -> None:
    settings.ANALYSIS_MAX_ATTEMPTS, settings.ANALYSIS_BACKOFF_SECONDS = 2, [0]
    analysis = make_due(cast)
    states: list[str] = []
    for _number in range(4):
        if states[-1:] == [State.FAILED]:
            analysis.refresh_from_db()
            retry_analysis(analysis=analysis, by=cast.owner, reason="The worker was mended.")
        claim_batch(worker="w")
        let_lease_run_out(analysis)
        sweep_lost_leases()
        states.append(snapshot(analysis)["state"])
    assert states == [State.QUEUED, State.FAILED] * 2


def test_another_release_in_the_place_of_the_registered_one_is_not_run(
    cast: Cast, networks: Networks, releases: Path, tiny_networks: Path, settings: Settings
) -> None:
    settings.ANALYSIS_BACKOFF_SECONDS = [60]
    shutil.rmtree(releases / "isic9" / "0.1.0")
    # Whole in itself: every sum fits its manifest.
    write_tiny_release(releases, tiny_networks, "isic9", "0.1.0", temperature=3.0)
    analysis, before = make_due(cast), timezone.now()
    run_batch(worker="w")
    row = snapshot(analysis)
    assert row["state"] == State.QUEUED
    assert not Prediction.objects.exists()
    # Whatever broke has a minute to pass, and nobody runs in circles.
    assert row["not_before"] >= before + timedelta(seconds=60)
    assert claim_batch(worker="w") is None


def test_what_the_network_could_not_judge_does_not_sink_to_the_end(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    analysis = make_due(cast)
    predict = Predictor.predict

    def unsure(predictor: Predictor, pictures: Any, *rest: Any) -> Any:
        results = predict(predictor, pictures, *rest)
        harmless = TRIAGE_ORDER[-1]
        return [replace(r, decision="cannot_say", triage_group=harmless) for r in results]

    monkeypatch.setattr(Predictor, "predict", unsure)
    run_batch(worker="w")
    assert snapshot(analysis)["triage_rank"] == UNJUDGED_RANK < len(TRIAGE_ORDER) - 1


# --- The nightly check -------------------------------------------------------------------------


def test_a_chain_of_moves_is_looked_at_link_by_link(done: Analysis) -> None:
    assert check_everything().counts == {}
    # Every link fits the next and the last one the state, but nobody leaves "succeeded".
    for origin, target in (
        (State.SUCCEEDED, State.QUEUED),
        (State.QUEUED, State.RUNNING),
        (State.RUNNING, State.SUCCEEDED),
    ):
        Transition.objects.create(
            analysis=done,
            from_state=origin,
            to_state=target,
            attempt=1,
            actor_kind=ActorKind.SYSTEM,
        )
    assert check_everything().counts == {"state_illegal": 1}


def test_a_link_that_was_cut_out_is_missed(done: Analysis) -> None:
    # What is left is legal, link by link, and ends where the row is.
    run_sql(
        "ALTER TABLE classifier_transition DISABLE TRIGGER USER",
        "DELETE FROM classifier_transition WHERE to_state = 'running'",
        "ALTER TABLE classifier_transition ENABLE TRIGGER USER",
    )
    assert check_everything().counts == {"state_illegal": 1}


def test_a_row_that_breaks_a_rule_is_found_although_its_moves_fit(done: Analysis) -> None:
    run_sql(
        "ALTER TABLE classifier_analysis DROP CONSTRAINT analysis_final_is_finished",
        "UPDATE classifier_analysis SET finished_at = NULL",
    )
    findings = {(row.code, row.subject, row.detail) for row in check_everything().findings}
    assert findings == {
        ("state_illegal", str(done.pk), "analysis_final_is_finished"),
        ("rule_missing", "analysis_final_is_finished", "the database does not enforce it"),
    }


def test_a_rule_that_stands_there_and_does_not_hold_is_found(done: Analysis) -> None:
    rule = "ALTER TABLE classifier_consent {} CONSTRAINT consent_use_valid"
    run_sql(rule.format("DROP"), f"{rule.format('ADD')} CHECK (use <> '') NOT VALID")
    assert [row.subject for row in check_everything().findings] == ["consent_use_valid"]
    run_sql(
        "ALTER TABLE classifier_consent VALIDATE CONSTRAINT consent_use_valid",
        # As a concurrent build that failed leaves it.
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'analysis_one_waiting'::regclass",
    )
    assert [row.subject for row in check_everything().findings] == ["analysis_one_waiting"]


def test_a_release_that_answered_once_is_still_looked_at(
    done: Analysis, releases: Path, tiny_networks: Path
) -> None:
    write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", temperature=2.0)
    newer, _new = register_release(folder=releases / "isic9" / "0.2.0")
    activate_version(version=newer)
    with (releases / "isic9" / "0.1.0" / "model.tflite").open("ab") as file:
        file.write(b"x")
    report = check_everything()
    assert [(row.code, row.subject) for row in report.findings] == [
        ("release_changed", "isic9 0.1.0")
    ]


def test_a_file_whose_row_is_committed_while_files_are_listed_is_not_swept(
    done: Analysis, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(done.image.display.name)
    age(Path(default_storage.path(name)), 25)
    Image.objects.update(display="images/00/00/other")
    modified = PrivateFileSystemStorage.get_modified_time

    def commit_meanwhile(asked: Any, stored: str) -> Any:
        Image.objects.update(display=name)
        return modified(asked, stored)

    monkeypatch.setattr(PrivateFileSystemStorage, "get_modified_time", commit_meanwhile)
    report = check_everything(sweep=True)
    # The rows were read before: only the copy under its other name is missed.
    assert (report.swept, report.counts) == (0, {"file_missing": 1})
    assert default_storage.exists(name)


def test_a_copy_whose_patient_is_erased_while_it_is_read_is_not_missed(
    cast: Cast, networks: Networks, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = factories.make_image(cast.patient, cast.owner)

    def erase_meanwhile(_storage: Any, name: str, _mode: str) -> None:
        Image.objects.filter(pk=image.pk).delete()
        raise FileNotFoundError(name)

    monkeypatch.setattr(PrivateFileSystemStorage, "open", erase_meanwhile)
    assert check_everything().counts == {}


@pytest.mark.parametrize(
    ("now", "started", "due"),
    [
        ("2026-11-21T01:00", "2026-11-20T02:30", False),
        ("2026-11-21T01:00", "2026-11-20T01:30", True),
        ("2026-11-21T03:00", "2026-11-21T02:10", False),
        ("2026-11-21T03:00", "2026-11-21T01:50", True),
    ],
)
def test_a_night_begins_at_its_hour_not_at_midnight(
    db: None, monkeypatch: pytest.MonkeyPatch, settings: Settings, now: str, started: str, due: bool
) -> None:
    settings.INTEGRITY_HOUR = 2

    def at(text: str) -> datetime:
        return timezone.make_aware(datetime.fromisoformat(text))

    monkeypatch.setattr("classifier.services.integrity_runs.timezone.localtime", lambda: at(now))
    earlier = IntegrityRun.objects.create(finished_at=at(started))
    IntegrityRun.objects.filter(pk=earlier.pk).update(started_at=at(started))
    assert (run_of_the_night() is not None) == due
