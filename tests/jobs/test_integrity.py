"""The check of files, rows, states and releases finds each fault that is planted."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from classifier.choices import ActorKind, State
from classifier.models import Analysis, AuditEvent, Image, IntegrityRun, Prediction, Transition
from classifier.services import integrity_runs
from classifier.services.analyses import request_analysis
from classifier.services.integrity import SLICES, check_everything, check_slices
from classifier.services.integrity_runs import go_on, open_run, run_of_the_night
from classifier.services.worker import run_batch
from classifier.tasks import check_integrity_task
from tests import factories

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from classifier.models import ModelVersion

Networks = dict[str, "ModelVersion"]


def check(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Run the command; return its status and its report."""
    words = StringIO()
    status = 0
    try:
        call_command("check_integrity", "--json", *arguments, stdout=words)
    except SystemExit as end:
        status = int(str(end.code))
    return status, json.loads(words.getvalue())


def path_of(image: Image, variant: str) -> Path:
    """Return where a copy lies."""
    return Path(default_storage.path(getattr(image, variant).name))


@contextmanager
def undone() -> Iterator[None]:
    """Take everything back that is written to the database meanwhile."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def run_sql(*statements: str) -> None:
    """Do to the database what this application never would."""
    with connection.cursor() as cursor:
        # A table is not altered while checks of the transaction are put off.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for statement in statements:
            cursor.execute(statement)


def age(path: Path, hours: float) -> None:
    """Make a file look older."""
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


def test_nothing_is_wrong_with_what_went_its_way(done: Analysis) -> None:
    status, report = check()
    assert (status, report["findings"]) == (0, [])
    assert report["looked_at"] == {"images": 1, "files": 3, "analyses": 1, "releases": 2}
    words = StringIO()
    call_command("check_integrity", stdout=words)
    assert words.getvalue().splitlines()[-1] == "All is well."
    event = AuditEvent.objects.filter(action="integrity.checked").latest("id")
    assert (event.actor_kind, event.details["findings"]) == (ActorKind.SYSTEM, {})


@pytest.mark.parametrize("variant", ["display", "thumbnail", "network_source"])
def test_a_changed_or_missing_copy_is_found(
    done: Analysis, variant: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = path_of(done.image, variant)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    name = getattr(done.image, variant).name
    status, report = check()
    assert status == 1
    assert [(row["code"], row["subject"]) for row in report["findings"]] == [("file_changed", name)]
    path.unlink()
    _status, report = check()
    assert [(row["code"], row["subject"]) for row in report["findings"]] == [("file_missing", name)]
    path.mkdir()
    _status, report = check()
    assert "file_unreadable" in report["counts"]
    assert f"integrity: file_changed: {name}" in caplog.text
    # Neither the log nor the report names the patient.
    assert done.patient.name not in caplog.text + json.dumps(report)


def test_a_copy_from_before_hashes_were_kept_is_taken_as_it_is_once(done: Analysis) -> None:
    Image.objects.update(display_sha256="", thumbnail_sha256="")
    assert check()[1]["adopted"] == 2
    assert check()[1]["adopted"] == 0
    path_of(done.image, "display").write_bytes(b"other")
    assert check()[1]["counts"] == {"file_changed": 1}


def test_a_file_without_a_row_is_found_and_swept_after_its_time(done: Analysis) -> None:
    # What a web process leaves that is killed between writing the files and committing the row.
    ghost = Image(pk=done.image.pk)
    ghost.pk = type(done.image.pk)(int=done.image.pk.int ^ 1)
    left = default_storage.save(Image.display.field.generate_filename(ghost, ""), ContentFile(b"x"))
    foreign = default_storage.save(f"{left.rpartition('/')[0]}/notes.txt", ContentFile(b"x"))
    assert check("--sweep")[1]["counts"] == {}
    for name in (left, foreign):
        age(Path(default_storage.path(name)), 25)
    status, report = check()
    assert (status, report["counts"]) == (1, {"file_orphan": 1, "file_unknown": 1})
    assert default_storage.exists(left)
    # Removed is what we made ourselves; whatever else lies there is a person's to judge.
    _status, report = check("--sweep")
    assert (report["swept"], report["counts"]) == (1, {"file_unknown": 1})
    assert not default_storage.exists(left)
    assert default_storage.exists(foreign)
    Path(default_storage.path(foreign)).unlink()
    assert check("--sweep")[0] == 0


def test_whatever_lies_beside_the_images_is_found(done: Analysis) -> None:
    _images, top, below, _name = str(done.image.display.name).split("/")
    for place in ("x.php", f"{top}/x.php", "zz/x.php", f"{top}/{below}/deep/x.php"):
        age(
            Path(default_storage.path(default_storage.save(f"images/{place}", ContentFile(b"x")))),
            25,
        )
    found = check("--sweep")[1]["findings"]
    assert {(row["code"], row["subject"]) for row in found} == {
        ("file_unknown", "images/x.php"),
        ("file_unknown", f"images/{top}/x.php"),
        ("file_unknown", "images/zz/"),
        ("file_unknown", f"images/{top}/{below}/deep/"),
    }
    # What lies in no slice is found once, with the first.
    places = (0, int(top, 16) << 4, int(top + below[0], 16))
    found_in = [check_slices(place, place).counts.get("file_unknown", 0) for place in places]
    assert found_in == [
        2 * (place == 0) + (place == places[1]) + (place == places[2]) for place in places
    ]


def _without(name: str, table: str = "classifier_analysis") -> str:
    return f"ALTER TABLE {table} DROP CONSTRAINT {name}"


def _chain(done: Analysis) -> None:
    Transition.objects.create(
        analysis=done,
        from_state=State.SUCCEEDED,
        to_state=State.QUEUED,
        attempt=1,
        actor_kind=ActorKind.SYSTEM,
    )


def _never_moved(done: Analysis) -> None:
    other = factories.make_image(done.patient, done.requested_by)
    factories.make_analysis(other, done.requested_by)


def _other_state(done: Analysis) -> None:
    Analysis.objects.update(state=State.CANCELLED)


def _no_such_state(done: Analysis) -> None:
    run_sql(
        _without("analysis_state_valid"),
        _without("analysis_final_is_finished"),
        "UPDATE classifier_analysis SET state = 'dreaming'",
    )


def _nameless_failure(done: Analysis) -> None:
    run_sql(
        _without("analysis_failure_is_named"), "UPDATE classifier_analysis SET state = 'failed'"
    )


def _nobody_asked(done: Analysis) -> None:
    factories.make_image(done.patient, done.requested_by)


def _stuck(done: Analysis) -> None:
    waiting = request_analysis(
        image=factories.make_image(done.patient, done.requested_by), by=done.requested_by
    )
    Analysis.objects.filter(pk=waiting.pk).update(
        state=State.RUNNING,
        attempt=1,
        started_at=timezone.now(),
        model_version=done.model_version,
        lease_until=timezone.now() - timedelta(hours=1),
    )
    Transition.objects.create(
        analysis=waiting,
        from_state=State.QUEUED,
        to_state=State.RUNNING,
        attempt=1,
        actor_kind=ActorKind.WORKER,
    )


def _anothers_result(done: Analysis) -> None:
    other = factories.make_image(done.patient, done.requested_by)
    request_analysis(image=other, by=done.requested_by)
    run_batch(worker="w")
    Analysis.objects.filter(image=other).update(prediction=done.prediction)


def _other_input(done: Analysis) -> None:
    run_sql("ALTER TABLE classifier_prediction DISABLE TRIGGER USER")
    Prediction.objects.update(input_sha256="0" * 64)


def _other_release(done: Analysis) -> None:
    run_sql("ALTER TABLE classifier_prediction DISABLE TRIGGER USER")
    Prediction.objects.update(artefact_sha256="0" * 64)


def _open_trail(_done: Analysis) -> None:
    run_sql("ALTER TABLE classifier_auditevent DISABLE TRIGGER USER")


def _consent_of_any_kind(_done: Analysis) -> None:
    run_sql("ALTER TABLE classifier_consent DROP CONSTRAINT consent_use_valid")


PLANTED: dict[str, tuple[Callable[[Analysis], None], set[str]]] = {
    "a move that the table does not have": (_chain, {"state_illegal"}),
    "an analysis without a first move": (_never_moved, {"state_illegal"}),
    "a state that no move led to": (_other_state, {"state_illegal"}),
    "a state that does not exist": (_no_such_state, {"state_illegal", "rule_missing"}),
    "a failure without a reason": (_nameless_failure, {"state_illegal", "rule_missing"}),
    "an image that nobody asked about": (_nobody_asked, {"image_without_analysis"}),
    "a lease that nobody swept": (_stuck, {"state_stuck"}),
    "the result of another image": (_anothers_result, {"result_foreign"}),
    "a result of another input": (_other_input, {"result_foreign", "rule_missing"}),
    "a result of another release": (_other_release, {"result_foreign", "rule_missing"}),
    "an audit trail that can be rewritten": (_open_trail, {"rule_missing"}),
    "a table that lost its rules": (_consent_of_any_kind, {"rule_missing"}),
}


def test_each_planted_fault_is_found_by_its_name(done: Analysis) -> None:
    for fault, (plant, codes) in PLANTED.items():
        with undone():
            plant(done)
            assert set(check_everything().counts) == codes, fault
    assert check_everything().findings == []


def test_a_release_whose_hash_changed_is_found(done: Analysis, releases: Path) -> None:
    card = next(path for path in (releases / "isic9" / "0.1.0").iterdir() if path.suffix != ".json")
    whole = card.read_bytes()
    card.write_bytes(whole + b"x")
    report = check_everything()
    assert [(row.code, row.subject) for row in report.findings] == [
        ("release_changed", "isic9 0.1.0")
    ]
    card.unlink()
    assert check_everything().counts == {"release_changed": 1}
    card.write_bytes(whole)
    assert check_everything().counts == {}


def test_a_slice_looks_at_its_own_images_only(done: Analysis) -> None:
    path_of(done.image, "display").unlink()
    own = done.image.pk.int >> 116
    assert check_slices(own, own).counts == {"file_missing": 1}
    others = [(0, own - 1)] * (own > 0) + [(own + 1, SLICES - 1)] * (own < SLICES - 1)
    for first, last in others:
        assert check_slices(first, last).findings == []


def test_the_nightly_run_is_left_and_taken_up_and_counts_all_once(
    done: Analysis, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Two slices at a time, so that there is something to leave.
    monkeypatch.setattr(integrity_runs, "_width", lambda: 2)
    path_of(done.image, "thumbnail").unlink()
    run = run_of_the_night()
    assert run is not None
    # Out of time: it is left where it is, and found again.
    assert not go_on(run, seconds=-1)
    assert run_of_the_night() == run
    assert open_run() == run
    # Two at work on the same run at once: what the slower one did does not count.
    IntegrityRun.objects.filter(pk=run.pk).update(slices_done=SLICES - 2, looked_at={})
    assert go_on(run, seconds=600)
    run.refresh_from_db()
    assert run.finished_at is not None
    behind = (done.image.pk.int >> 116) < SLICES - 2
    assert run.looked_at.get("images", 0) == (0 if behind else 1)
    monkeypatch.undo()
    # Once a day.
    assert run_of_the_night() is None
    IntegrityRun.objects.update(started_at=timezone.now() - timedelta(days=2))
    check_integrity_task.run()
    last = IntegrityRun.objects.latest("started_at")
    assert last.pk != run.pk
    assert (last.slices_done, last.counts) == (SLICES, {"file_missing": 1})
    assert last.looked_at == {"images": 1, "files": 3, "analyses": 1, "releases": 2}
    assert [row["code"] for row in last.findings] == ["file_missing"]
    event = AuditEvent.objects.filter(action="integrity.checked").latest("id")
    assert event.details["findings"] == {"file_missing": 1}
    assert "integrity: file_missing" in caplog.text
