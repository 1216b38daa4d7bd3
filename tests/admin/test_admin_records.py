"""The admin panel over real rows: what it costs, what it cannot alter, what its actions say."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django.utils.text import capfirst

from classifier.choices import Decision, State
from classifier.models import (
    Analysis,
    AuditEvent,
    BreakGlass,
    Consent,
    Erasure,
    Image,
    IntegrityRun,
    Lesion,
    ModelVersion,
    Patient,
    Prediction,
    Reading,
    Review,
    Transition,
)
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.db.models import Model
    from django.test import Client

    from tests.conftest import Cast

OURS = [model for model in admin.site._registry if model._meta.app_label == "classifier"]
UNALTERABLE: list[type[Model]] = [
    Analysis,
    AuditEvent,
    BreakGlass,
    Consent,
    Erasure,
    Image,
    IntegrityRun,
    Lesion,
    ModelVersion,
    Prediction,
    Reading,
    Review,
]
MOST_QUERIES = 12
FEW, MANY = 3, 60


@pytest.fixture
def root(cast: Cast) -> Client:
    """Return the superuser's browser."""
    return cast.client_of(cast.superuser)


def fill(cast: Cast, count: int) -> None:
    """Add so many rows of every kind, each with relations of its own."""
    for number in range(count):
        reader = factories.make_member(cast.clinic)
        patient = factories.make_patient(cast.clinic, reader)
        image = make.bare_image(patient, reader)
        image.lesion = Lesion.objects.create(
            clinic=cast.clinic, patient=patient, label=f"L{number}", created_by=reader
        )
        image.save()
        analysis = make.answered(image, reader)
        save_reading(analysis=analysis, by=reader, diagnosis="nevus")
        save_review(analysis=analysis, by=reader, verdict="agree", expected_number=0)
        moment = timezone.now()
        later = moment + timedelta(hours=1)
        Consent.objects.create(
            clinic=cast.clinic,
            patient=patient,
            use="teaching",
            given=True,
            decided_on=moment.date(),
            recorded_by=reader,
        )
        Erasure.objects.create(
            clinic=cast.clinic, patient_key=uuid.uuid4(), erased_by=reader, registered_at=moment
        )
        BreakGlass.objects.create(
            user=reader, clinic=cast.clinic, patient=patient, reason="!", expires_at=later
        )
        IntegrityRun.objects.create(
            finished_at=moment,
            counts={"orphan_file": 1},
            findings=[{"code": "orphan_file", "subject": "<b>x</b>", "detail": "unknown"}],
        )
        if not number % 10:
            factories.make_model_version(active=False)
            factories.make_clinic()


def address(model: type[Model], page: str, *args: object) -> str:
    """Return the address of one of a model's pages."""
    return reverse(f"admin:classifier_{model._meta.model_name}_{page}", args=args)


def cost(client: Client, url: str) -> int:
    """Return the number of queries of one page."""
    with CaptureQueriesContext(connection) as queries:
        assert client.get(url).status_code == 200, url
    return len(queries)


def test_no_list_costs_more_with_more_rows(root: Client, cast: Cast) -> None:
    urls = {model.__name__: address(model, "changelist") for model in OURS}
    urls |= {
        f"{name} searched": f"{url}?q=pat" for name, url in urls.items() if name != "ModelVersion"
    }
    fill(cast, FEW)
    # Past what is written and asked once a minute only.
    root.get(reverse("admin:index"))
    few = {name: cost(root, url) for name, url in urls.items()}
    fill(cast, MANY - FEW)
    many = {name: cost(root, url) for name, url in urls.items()}
    assert many == few
    assert max(many.values()) <= MOST_QUERIES


@pytest.mark.parametrize("model", UNALTERABLE, ids=lambda model: model.__name__)
def test_a_fact_is_shown_and_cannot_be_altered(
    root: Client, cast: Cast, model: type[Model]
) -> None:
    fill(cast, 1)
    row = model._default_manager.all()[0]
    before = model._default_manager.filter(pk=row.pk).values().get()
    change = address(model, "change", row.pk)
    page = root.get(change)
    assert page.status_code == 200
    form = page.content.decode()
    assert 'name="_save"' not in form
    # When it was written stands on its page, and no fact stands there twice.
    facts = re.findall(r"<label>(.*?):?</label>", form)
    assert facts
    assert len(facts) == len(set(facts))
    moments = [f for f in model._meta.concrete_fields if getattr(f, "auto_now_add", False)]
    assert {capfirst(str(moment.verbose_name)) for moment in moments} <= set(facts)
    assert root.post(change, {"decision": "rejected", "verdict": "defer"}).status_code == 403
    assert root.post(address(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert root.get(address(model, "add")).status_code == 403
    assert root.post(address(model, "add"), {}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": str(row.pk), "post": "yes"}
    root.post(address(model, "changelist"), bulk)
    assert model._default_manager.filter(pk=row.pk).values().get() == before


def test_a_job_is_shown_with_every_move_at_a_bounded_cost(root: Client, cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    url = address(Analysis, "change", analysis.pk)
    cost(root, url)  # The first page of a process also asks for the content types.
    few = cost(root, url)
    for _ in range(20):
        Transition.objects.create(
            analysis=analysis,
            to_state=State.QUEUED,
            attempt=1,
            actor_kind="user",
            actor=cast.colleague,
            reason="A reason to read",
        )
    assert cost(root, url) == few
    assert root.get(url).content.decode().count("A reason to read") == 20


def test_what_a_check_found_is_told_line_by_line(root: Client) -> None:
    finding = {"code": "orphan_file", "subject": "<b>x</b>", "detail": "no row names it"}
    run = IntegrityRun.objects.create(
        finished_at=timezone.now(), counts={"orphan_file": 150}, findings=[finding] * 150
    )
    page = root.get(address(IntegrityRun, "change", run.pk)).content.decode()
    assert page.count("<li>orphan_file: &lt;b&gt;x&lt;/b&gt; no row names it</li>") == 100
    listed = root.get(address(IntegrityRun, "changelist")).content.decode()
    assert '<td class="field-found">150</td>' in listed


def test_a_tombstone_names_no_file(root: Client, cast: Cast) -> None:
    row = Erasure.objects.create(
        clinic=cast.clinic,
        patient_key=uuid.uuid4(),
        registered_at=timezone.now(),
        files=["abcdef.jpg"],
    )
    page = root.get(address(Erasure, "change", row.pk)).content.decode()
    assert str(row.patient_key) in page
    assert "abcdef" not in page


def test_the_panel_shows_neither_pictures_nor_maps(root: Client, cast: Cast) -> None:
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    page = root.get(address(Prediction, "change", analysis.prediction_id)).content.decode()
    assert "evidence" not in page.lower()
    page = root.get(address(Image, "change", analysis.image_id)).content.decode()
    assert str(analysis.image.display.name) not in page


def test_the_panel_is_ours_and_runs_nothing_inline(root: Client, cast: Cast) -> None:
    fill(cast, 1)
    for url in (
        reverse("admin:index"),
        address(Analysis, "changelist"),
        address(Patient, "changelist"),
        address(Patient, "change", Patient.objects.all()[0].pk),
    ):
        response = root.get(url)
        page = response.content.decode()
        assert "Skinapp administration" in page
        assert "Django administration" not in page
        assert "css/admin.css" in page
        # Dates as everywhere else: 2026-11-21 16:50, not "Nov. 21, 2026, 4:50 p.m.".
        assert not re.search(r"[ap]\.m\.|[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4}", page)
        assert not re.search(r"<script(?![^>]*\b(src=|type=\"application/json\"))", page)
        assert not re.search(r"\s(style|on[a-z]+)=\"", page)
        assert "script-src 'self'" in response["Content-Security-Policy"]


def test_patients_are_found_whatever_the_accents(root: Client, cast: Cast) -> None:
    factories.make_patient(cast.clinic, cast.owner, name="Zoë Müller")
    page = root.get(address(Patient, "changelist"), {"q": "muller zoe"}).content.decode()
    assert "Zoë Müller" in page
    assert cast.patient.name not in page


# --- Actions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["retry", "cancel"])
@pytest.mark.parametrize("reason", [None, "", "   ", "x" * 501])
def test_an_action_without_a_reason_moves_nothing(
    root: Client, cast: Cast, action: str, reason: str | None
) -> None:
    image = make.bare_image(cast.patient, cast.owner)
    analysis = (
        make.failed(image, cast.owner)
        if action == "retry"
        else factories.make_analysis(image, cast.owner)
    )
    before = analysis.state
    post = {"action": action, "_selected_action": str(analysis.pk), "confirmed": "1"}
    if reason is not None:
        post["reason"] = reason
    page = root.post(address(Analysis, "changelist"), post)
    assert page.status_code == 200
    assert page.context["form"].errors
    analysis.refresh_from_db()
    assert analysis.state == before
    assert not AuditEvent.objects.exists()


def test_an_action_over_many_moves_what_it_can_and_names_the_rest(root: Client, cast: Cast) -> None:
    def image() -> Image:
        return make.bare_image(cast.patient, cast.owner)

    failed = make.failed(image(), cast.owner)
    rejected = make.answered(image(), cast.owner, decision=Decision.REJECTED)
    done = make.answered(image(), cast.owner)
    post = {
        "action": "retry",
        "_selected_action": [str(row.pk) for row in (failed, rejected, done)],
        "confirmed": "1",
        "reason": "New release",
    }
    page = root.post(address(Analysis, "changelist"), post, follow=True)
    told = [str(message) for message in page.context["messages"]]
    assert "2 analyses moved." in told
    assert any(str(done.pk) in message for message in told)
    states = {row.pk: row.state for row in Analysis.objects.all()}
    assert states == {
        failed.pk: State.QUEUED,
        rejected.pk: State.QUEUED,
        done.pk: State.SUCCEEDED,
    }
    assert AuditEvent.objects.filter(reason="New release", actor=cast.superuser).count() == 2


def test_networks_are_switched_on_the_page_that_asks_why(root: Client) -> None:
    old = factories.make_model_version(activated_at=timezone.now())
    new = factories.make_model_version(active=False)
    for action, chosen, page in (
        ("activate", new, reverse("model_version_activate", args=[new.pk])),
        # From whichever was chosen, the way back begins at the one that answers.
        ("back", new, reverse("model_version_roll_back", args=[old.pk])),
    ):
        post = {"action": action, "_selected_action": str(chosen.pk)}
        answer = root.post(address(ModelVersion, "changelist"), post)
        assert (answer.status_code, answer["Location"]) == (302, page)
