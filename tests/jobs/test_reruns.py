"""Judging past cases by another network: nobody's answer, after everything fresh, each once."""

from __future__ import annotations

import csv
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from classifier.choices import Decision, RerunRowState, RerunState, TriageChange
from classifier.models import (
    Analysis,
    AuditEvent,
    ModelVersion,
    Prediction,
    RerunRow,
    RerunRun,
    Transition,
)
from classifier.selectors.reruns import totals_of
from classifier.services import rerun_work
from classifier.services.analyses import request_analysis
from classifier.services.errors import RuleError
from classifier.services.model_versions import register_release
from classifier.services.network_inputs import stored_input
from classifier.services.rerun_work import change_between, go_on
from classifier.services.reruns import cancel_rerun, count_cases, past_cases, start_rerun
from classifier.services.worker import run_batch
from tests import factories
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings

    from classifier.models import User
    from tests.conftest import Cast

ANSWER, CANNOT_SAY, REJECTED = Decision.ANSWER, Decision.CANNOT_SAY, Decision.REJECTED


@pytest.fixture
def candidate(
    networks: dict[str, ModelVersion], releases: Path, tiny_networks: Path
) -> ModelVersion:
    """Return a version of the same network that never finds itself sure enough."""
    release = write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", answer_threshold=0.999)
    return register_release(folder=release.folder)[0]


def answered(cast: Cast, count: int) -> list[Analysis]:
    """Make cases that the active version has answered."""
    cases = [
        request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
        for _number in range(count)
    ]
    while run_batch(worker="w"):
        pass
    return cases


def started(version: ModelVersion, by: User | None = None, **facts: Any) -> RerunRun:
    """Begin a comparison over today's cases of all clinics."""
    today = timezone.localdate()
    period = {"clinic": None, "since": today, "until": today} | facts
    return start_rerun(version=version, by=by, **period)


def ordinary() -> list[list[dict[str, Any]]]:
    """Return everything that the application's other pages are made from."""
    models: list[Any] = [Analysis, Prediction, Transition, ModelVersion]
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_what_a_version_says_of_past_cases_is_kept_apart(
    cast: Cast, candidate: ModelVersion
) -> None:
    cases = answered(cast, 6)
    before = ordinary()
    today = timezone.localdate()
    assert count_cases(version=candidate, clinic=None, since=today, until=today) == 6
    run = started(candidate, cast.superuser)
    go_on(seconds=30)
    run.refresh_from_db()
    assert (run.state, run.told) == (RerunState.FINISHED, "")
    assert ordinary() == before
    rows = {row.analysis_id: row for row in run.rows.all()}
    assert rows.keys() == {case.pk for case in cases}
    for case in Analysis.objects.all():
        row = rows[case.pk]
        assert (row.before_decision, row.before_label) == (case.decision, case.top_label)
        # The same network with another threshold: the label stays, the answer goes.
        assert (row.label, row.decision, row.attempt) == (case.top_label, CANNOT_SAY, 1)
        gone = case.decision == ANSWER
        assert row.change == (TriageChange.TO_CANNOT_SAY if gone else TriageChange.SAME)
    totals = totals_of(run)
    lost = Analysis.objects.filter(decision=ANSWER).count()
    assert lost
    assert (totals.cases, totals.judged, totals.labels, totals.triage) == (6, 6, 0, lost)
    events = AuditEvent.objects.filter(action__startswith="rerun.").order_by("id")
    assert [(event.action, event.actor) for event in events] == [
        ("rerun.started", cast.superuser),
        ("rerun.finished", None),
    ]
    # Again: nothing is left to do, and nothing is done twice.
    go_on(seconds=30)
    assert AuditEvent.objects.filter(action__startswith="rerun.").count() == 2


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ((ANSWER, 0), (ANSWER, 0), "same"),
        ((ANSWER, 6), (ANSWER, 0), "up"),
        ((ANSWER, 0), (ANSWER, 6), "down"),
        ((ANSWER, 0), (CANNOT_SAY, 0), "to_cannot_say"),
        ((REJECTED, 2), (CANNOT_SAY, 2), "to_cannot_say"),
        ((CANNOT_SAY, 2), (CANNOT_SAY, 0), "up"),
        ((CANNOT_SAY, 2), (CANNOT_SAY, 2), "same"),
        ((REJECTED, 2), (REJECTED, 0), "same"),
        ((ANSWER, 0), (REJECTED, 0), "to_rejected"),
        ((CANNOT_SAY, 2), (ANSWER, 6), "to_answer"),
    ],
)
def test_what_counts_as_a_change(
    before: tuple[str, int], after: tuple[str, int], change: str
) -> None:
    assert change_between(before, after) == change


def test_the_cases_are_those_that_another_version_answered_in_the_period(
    cast: Cast, networks: dict[str, ModelVersion], candidate: ModelVersion
) -> None:
    cases = answered(cast, 3)
    waiting = request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    today = timezone.localdate()
    period: dict[str, Any] = {"clinic": None, "since": today, "until": today}
    found = past_cases(version=candidate, **period)
    assert set(found) == set(cases)
    assert waiting not in found
    # Of two analyses of one image the later one is the case.
    again = request_analysis(image=cases[0].image, by=cast.owner)
    assert run_batch(worker="w") == 2
    assert {case.pk for case in past_cases(version=candidate, **period)} == {
        again.pk,
        cases[1].pk,
        cases[2].pk,
        waiting.pk,
    }
    # Corrected since: another network's.
    cases[1].image.modality = "clinical"
    cases[1].image.save()
    yesterday = timezone.now() - timedelta(days=1)
    Analysis.objects.filter(pk=cases[2].pk).update(created_at=yesterday)
    assert {case.pk for case in past_cases(version=candidate, **period)} == {again.pk, waiting.pk}
    assert not past_cases(version=networks["isic9"], **period)
    assert not past_cases(version=candidate, **(period | {"clinic": cast.other_clinic}))


def test_what_is_fresh_goes_first(
    cast: Cast, candidate: ModelVersion, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(cast, 6)
    run = started(candidate)
    fresh = request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    go_on(seconds=30)
    assert run.rows.unfinished().count() == 6
    assert run_batch(worker="w") == 1
    # Something comes while the work is under way: what is in hand is finished, no more.
    judge = rerun_work._judge

    def judge_and_receive(*args: Any) -> None:
        judge(*args)
        request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)

    monkeypatch.setattr(rerun_work, "_judge", judge_and_receive)
    go_on(seconds=30)
    assert run.rows.unfinished().count() == 2
    assert run_batch(worker="w") == 1
    fresh.refresh_from_db()
    assert fresh.model_version != candidate


def test_what_waits_for_a_network_that_is_not_there_holds_nothing_up(
    cast: Cast, candidate: ModelVersion
) -> None:
    answered(cast, 1)
    run = started(candidate)
    ModelVersion.objects.filter(label_set="clinical5").update(active=False)
    image = factories.make_image(cast.patient, cast.owner, modality="clinical")
    request_analysis(image=image, by=cast.owner)
    go_on(seconds=30)
    assert not run.rows.unfinished().exists()


@pytest.mark.django_db(transaction=True)
def test_two_workers_judge_each_case_once(
    transactional_db: None, cast: Cast, candidate: ModelVersion
) -> None:
    answered(cast, 10)
    run = started(candidate)
    start = threading.Barrier(2)

    def work(_number: int) -> None:
        try:
            start.wait(20)
            go_on(seconds=30)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(2)))
    go_on(seconds=30)
    assert set(run.rows.values_list("state", "attempt")) == {(RerunRowState.DONE, 1)}
    assert AuditEvent.objects.filter(action="rerun.finished").count() == 1


def test_a_killed_workers_cases_are_taken_again_each_alone(
    cast: Cast, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(cast, 3)
    run = started(candidate)
    judged: list[int] = []

    def die(_run: RerunRun, rows: list[RerunRow]) -> None:
        judged.append(len(rows))
        raise KeyboardInterrupt

    monkeypatch.setattr(rerun_work, "_judge", die)
    for attempt in (1, 2, 3):
        while run.rows.due(timezone.now()).exists():
            with pytest.raises(KeyboardInterrupt):
                go_on(seconds=30)
        assert set(run.rows.values_list("state", "attempt")) == {("running", attempt)}
        # As long as a lease holds, nobody takes the case.
        go_on(seconds=30)
        run.rows.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert judged == [3, 1, 1, 1, 1, 1, 1]
    go_on(seconds=30)
    run.refresh_from_db()
    assert set(run.rows.values_list("state", "failure_code")) == {("failed", "worker_lost")}
    assert run.state == RerunState.FINISHED
    assert (totals_of(run).failed, totals_of(run).judged) == (3, 0)


def test_a_case_that_another_worker_holds_by_now_is_left_to_it(
    cast: Cast, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(cast, 1)
    run = started(candidate)

    def lose_the_lease(image: Any) -> Any:
        run.rows.update(attempt=2)
        return stored_input(image)

    monkeypatch.setattr(rerun_work, "stored_input", lose_the_lease)
    go_on(seconds=30)
    row = run.rows.get()
    assert (row.state, row.attempt, row.decision) == (RerunRowState.RUNNING, 2, "")


def test_each_fault_costs_its_own_case(
    cast: Cast, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing, away, fine = answered(cast, 3)
    missing.image.network_source.storage.delete(missing.image.network_source.name or "")
    run = started(candidate)

    def be_away(image: Any) -> Any:
        if image.pk == away.image_id:
            raise OSError
        return stored_input(image)

    monkeypatch.setattr(rerun_work, "stored_input", be_away)
    go_on(seconds=30)
    states = dict(run.rows.values_list("analysis", "state"))
    assert states == {missing.pk: "failed", away.pk: "running", fine.pk: "done"}
    assert run.rows.get(analysis=missing).failure_code == "input_missing"
    for _attempt in range(2):
        run.rows.filter(analysis=away).update(lease_until=timezone.now() - timedelta(seconds=1))
        go_on(seconds=30)
    assert run.rows.get(analysis=away).failure_code == "storage_error"
    run.refresh_from_db()
    assert run.state == RerunState.FINISHED


def test_a_batch_that_breaks_is_tried_again_one_by_one(
    cast: Cast, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(cast, 3)
    run = started(candidate)

    class Broken:
        def predict(self, *_args: object) -> object:
            raise ValueError

    monkeypatch.setattr(rerun_work, "_predictor", lambda _version: Broken())
    go_on(seconds=30)
    assert set(run.rows.values_list("state", "attempt")) == {("running", 1)}
    monkeypatch.undo()
    run.rows.update(lease_until=timezone.now() - timedelta(seconds=1))
    go_on(seconds=30)
    assert set(run.rows.values_list("state", "attempt")) == {("done", 2)}


def test_a_comparison_by_changed_files_ends(
    cast: Cast, candidate: ModelVersion, releases: Path
) -> None:
    answered(cast, 1)
    run = started(candidate)
    (releases / "isic9" / "0.2.0" / "model.tflite").write_bytes(b"changed")
    rerun_work._loaded.clear()
    go_on(seconds=30)
    run.refresh_from_db()
    assert run.state == RerunState.CANCELLED
    assert "missing or were changed" in run.told
    with pytest.raises(RuleError, match="cannot be used"):
        started(candidate)


def test_who_may_have_which_cases_judged(
    cast: Cast, candidate: ModelVersion, settings: Settings
) -> None:
    answered(cast, 2)
    for who in (cast.owner, cast.read_only, cast.stranger, cast.deactivated):
        with pytest.raises(RuleError, match="administrator"):
            started(candidate, who, clinic=cast.clinic)
    with pytest.raises(RuleError, match="administrator"):
        started(candidate, cast.administrator)
    with pytest.raises(RuleError, match="no case"):
        started(candidate, cast.superuser, clinic=cast.other_clinic)
    settings.RERUN_MOST_CASES = 1
    with pytest.raises(RuleError, match="shorter period"):
        started(candidate, cast.administrator, clinic=cast.clinic)
    assert not RerunRun.objects.exists()
    settings.RERUN_MOST_CASES = 2
    run = started(candidate, cast.administrator, clinic=cast.clinic)
    # The same once more is the one that is under way.
    assert started(candidate, cast.superuser, clinic=cast.clinic) == run
    assert run.rows.count() == 2
    for who in (cast.owner, cast.stranger):
        with pytest.raises(RuleError, match="administrator"):
            cancel_rerun(run=run, by=who)
    cancel_rerun(run=run, by=cast.administrator)
    with pytest.raises(RuleError, match="over already"):
        cancel_rerun(run=run, by=cast.superuser)
    go_on(seconds=30)
    assert run.rows.unfinished().count() == 2
    assert started(candidate, cast.superuser, clinic=cast.clinic) != run


def test_the_command_compares_and_writes_the_list(
    cast: Cast, candidate: ModelVersion, tmp_path: Path
) -> None:
    cases = answered(cast, 2)
    today = timezone.localdate().isoformat()
    period = ["--since", today, "--until", today]
    out, file = io.StringIO(), tmp_path / "cases.csv"
    call_command("rerun", "isic9", "--version", "0.2.0", *period, "--csv", str(file), stdout=out)
    told = out.getvalue()
    lost = Analysis.objects.filter(decision=ANSWER).count()
    assert "2 cases to judge by isic9 0.2.0." in told
    assert "Answered before by: 0.1.0 (2)" in told
    assert f"Triage group differs: {lost} of 2" in told
    with file.open(encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert len(rows) == lost
    assert {row["case"] for row in rows} <= {str(case.pk) for case in cases}
    assert {row["change"] for row in rows} == {"to_cannot_say"}
    for arguments, sentence in (
        (["--version", "9.9.9", *period], "not registered"),
        (["--version", "0.2.0", *period, "--clinic", "Nowhere"], "no clinic named"),
        (["--version", "0.2.0", "--since", today, "--until", "2020-01-01"], "ends before"),
        (["--version", "0.2.0", "--since", "2020-01-01", "--until", "2020-01-01"], "no case"),
    ):
        with pytest.raises(CommandError, match=sentence):
            call_command("rerun", "isic9", *arguments)
