"""Comparing a network with past answers: choosing cases, who sees which, and what then."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, RerunRowState, RerunState, TriageChange
from classifier.models import AuditEvent, ModelVersion, RerunRow, RerunRun
from classifier.services import reruns
from classifier.services.patients import broken_constraint
from classifier.services.readings import save_reading
from tests import factories
from tests.web import answered as make
from tests.web.answers import text_of
from tests.web.test_markup import faults_of

if TYPE_CHECKING:
    from classifier.models import Analysis, Clinic, User
    from tests.conftest import Cast

TODAY = timezone.localdate


@pytest.fixture
def candidate(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> ModelVersion:
    """Return a version that does not answer yet, whose files are taken for the right ones."""
    monkeypatch.setattr(reruns, "check_files", lambda _version: None)
    factories.make_model_version(activated_at=timezone.now())
    return factories.make_model_version(active=False, version="9.0.0")


def case(cast: Cast, by: User | None = None, **facts: Any) -> Analysis:
    """Make a case that was answered."""
    patient = factories.make_patient(cast.clinic, by or cast.owner)
    return make.answered(make.bare_image(patient, cast.owner), by or cast.owner, **facts)


def compared(version: ModelVersion, clinic: Clinic | None, *rows: tuple[Analysis, str]) -> RerunRun:
    """Make a finished comparison in which cases changed like this."""
    run = RerunRun.objects.create(
        version=version,
        clinic=clinic,
        since=TODAY(),
        until=TODAY(),
        state=RerunState.FINISHED,
        ended_at=timezone.now(),
    )
    for analysis, change in rows:
        assert analysis.prediction is not None
        cannot = change == TriageChange.TO_CANNOT_SAY
        RerunRow.objects.create(
            run=run,
            clinic=analysis.clinic,
            patient=analysis.patient,
            analysis=analysis,
            state=RerunRowState.DONE,
            attempt=1,
            before_version=analysis.prediction.model_version,
            before_decision=analysis.decision,
            before_label=analysis.top_label,
            before_rank=analysis.triage_rank,
            decision=Decision.CANNOT_SAY if cannot else Decision.ANSWER,
            label="melanoma" if change == TriageChange.SAME else "nevus",
            rank=2 if cannot else 6,
            change=change,
        )
    return run


def test_the_number_is_said_before_anything_begins(cast: Cast, candidate: ModelVersion) -> None:
    for _number in range(3):
        case(cast)
    head = cast.client_of(cast.administrator)
    address = reverse("rerun_create", args=[candidate.pk])
    assert faults_of(head.get(address).content.decode()) == []
    day = TODAY().isoformat()
    period = {"since": day, "until": day, "clinic": str(cast.clinic.pk)}
    page = head.get(address, period)
    assert faults_of(page.content.decode()) == []
    assert "Judge these 3 cases again" in text_of(page)
    assert not RerunRun.objects.exists()
    answer = head.post(address, period)
    run = RerunRun.objects.get()
    assert (answer.status_code, answer["Location"]) == (302, run.get_absolute_url())
    # Sent twice: one comparison.
    assert head.post(address, period)["Location"] == run.get_absolute_url()
    assert run.rows.count() == 3
    progress = head.get(run.get_absolute_url())
    assert "0 of 3 cases" in text_of(progress)
    assert faults_of(progress.content.decode()) == []
    late = (TODAY() + timedelta(days=1)).isoformat()
    for wrong in (
        period | {"since": late},
        period | {"since": ""},
        # A clinic's administrator cannot ask for all of them.
        period | {"clinic": ""},
        period | {"clinic": str(cast.other_clinic.pk)},
    ):
        assert head.post(address, wrong).status_code == 422
    early = {"since": "2001-01-01", "until": "2001-01-01", "clinic": str(cast.clinic.pk)}
    assert "No case" in text_of(head.get(address, early))
    ever = {"since": "0001-01-01", "until": "9999-12-31", "clinic": str(cast.clinic.pk)}
    assert "Judge these 3 cases again" in text_of(head.get(address, ever))
    assert head.post(reverse("rerun_cancel", args=[run.pk])).status_code == 302
    run.refresh_from_db()
    assert (run.state, run.ended_by) == (RerunState.CANCELLED, cast.administrator)
    cancelled = head.get(run.get_absolute_url(), headers={"HX-Request": "true"})
    assert cancelled["HX-Refresh"] == "true"
    assert "judged until then" in text_of(head.get(run.get_absolute_url()))


def test_a_case_is_shown_to_whoever_may_see_its_answer(cast: Cast, candidate: ModelVersion) -> None:
    down, lost, same = case(cast), case(cast), case(cast)
    run = compared(
        candidate,
        None,
        (down, TriageChange.DOWN),
        (lost, TriageChange.TO_CANNOT_SAY),
        (same, TriageChange.SAME),
    )
    cast.superuser.clinics.add(cast.clinic, through_defaults={"role": "administrator"})
    root = cast.client_of(cast.superuser)
    blind = root.get(run.get_absolute_url())
    told = "3 more cases are counted and shown once you have read them yourself."
    # Neither a total nor a filter tells in which direction a case would go that is to be read.
    for query in ({}, {"change": "down"}, {"change": "up"}):
        blind = root.get(run.get_absolute_url(), query)
        totals = blind.context["totals"]
        assert (totals.judged, totals.labels, totals.triage, totals.hidden) == (3, 0, 0, 3)
        assert not any(count for _key, _word, count in totals.changes)
        assert blind.context["listed"].cases == []
        assert told in text_of(blind)
        assert "keeps its triage group" not in text_of(blind)
    save_reading(analysis=lost, by=cast.superuser, diagnosis="nevus")
    totals = root.get(run.get_absolute_url()).context["totals"]
    assert (totals.labels, totals.triage, totals.hidden) == (1, 1, 2)
    for seen in (down, same):
        save_reading(analysis=seen, by=cast.superuser, diagnosis="nevus")
    page = root.get(run.get_absolute_url())
    assert faults_of(page.content.decode()) == []
    listed = {one.row.analysis for one in page.context["listed"].cases}
    assert listed == {down, lost}
    assert down.get_absolute_url() in page.content.decode()
    only = root.get(run.get_absolute_url(), {"change": "down"})
    assert [one.row.analysis for one in only.context["listed"].cases] == [down]
    file = root.get(reverse("rerun_csv", args=[run.pk]))
    text = file.content.decode("utf-8-sig")
    rows = {row["case"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows.keys() == {str(down.pk), str(lost.pk)}
    assert rows[str(down.pk)]["triage group before"] == "skin cancer"
    assert rows[str(down.pk)]["triage group"] == "benign lesion"
    # Why it cannot say is not kept, and where nothing is known its group would be made up.
    assert (rows[str(lost.pk)]["decision"], rows[str(lost.pk)]["triage group"]) == (
        "cannot_say",
        "",
    )
    (told,) = [one for one in page.context["listed"].cases if one.row.analysis == lost]
    assert told.after.group == ""
    assert down.patient.name not in text
    assert AuditEvent.objects.filter(action="rerun.exported", actor=cast.superuser).exists()
    # Of all clinics: not for the administrator of one.
    assert cast.client_of(cast.administrator).get(run.get_absolute_url()).status_code == 404


def test_who_belongs_to_no_clinic_sees_totals_and_no_case(
    cast: Cast, candidate: ModelVersion
) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    down = case(cast)
    run = compared(candidate, cast.clinic, (down, TriageChange.DOWN))
    page = cast.client_of(cast.superuser).get(run.get_absolute_url())
    assert page.context["totals"].triage == 1
    assert "None that you may see here." in text_of(page)
    assert down.patient.name not in text_of(page)
    # Who decides for all may switch from here; the clinic's administrator sees the case.
    activate = reverse("model_version_activate", args=[candidate.pk])
    assert activate in page.content.decode()
    head = cast.client_of(cast.administrator).get(run.get_absolute_url())
    assert down.patient.name in text_of(head)
    assert activate not in head.content.decode()
    form = cast.client_of(cast.superuser).get(activate)
    assert "Nobody has looked yet" not in text_of(form)


def test_one_that_ends_while_the_same_is_asked_for_is_begun_again(
    cast: Cast, candidate: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    case(cast)
    facts: dict[str, Any] = {"clinic": cast.clinic, "since": TODAY(), "until": TODAY()}
    first = reruns.start_rerun(version=candidate, by=cast.superuser, **facts)
    broken = broken_constraint

    def end_meanwhile(error: Any) -> Any:
        reruns.end_rerun(first, RerunState.FINISHED)
        return broken(error)

    monkeypatch.setattr(reruns, "broken_constraint", end_meanwhile)
    again = reruns.start_rerun(version=candidate, by=cast.superuser, **facts)
    assert (again == first, again.is_busy, again.rows.count()) == (False, True, 1)


def test_before_a_comparison_a_switch_says_that_there_is_none(
    cast: Cast, candidate: ModelVersion
) -> None:
    root = cast.client_of(cast.superuser)
    form = root.get(reverse("model_version_activate", args=[candidate.pk]))
    assert "Nobody has looked yet" in text_of(form)
    detail = root.get(reverse("model_version_detail", args=[candidate.pk]))
    assert reverse("rerun_create", args=[candidate.pk]) in detail.content.decode()
    other = cast.client_of(cast.owner).get(reverse("model_version_detail", args=[candidate.pk]))
    assert reverse("rerun_create", args=[candidate.pk]) not in other.content.decode()


def test_the_pages_cost_the_same_however_many_cases_there_are(
    cast: Cast, candidate: ModelVersion, settings: Any
) -> None:
    settings.PAGE_SIZE = 4
    cast.clinic.blinded_first = False
    cast.clinic.save()
    run = compared(candidate, cast.clinic, (case(cast), TriageChange.DOWN))
    head = cast.client_of(cast.administrator)

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            assert head.get(run.get_absolute_url()).status_code == 200
        return len(queries)

    head.get(run.get_absolute_url())
    few = cost()
    for _number in range(6):
        other = compared(candidate, cast.clinic, (case(cast), TriageChange.DOWN))
        other.rows.update(run=run)
    assert cost() == few <= 12
    pages = head.get(run.get_absolute_url())
    assert len(pages.context["listed"].cases) == 4
    following = head.get(run.get_absolute_url(), {"cursor": pages.context["listed"].page.next})
    assert len(following.context["listed"].cases) == 3
