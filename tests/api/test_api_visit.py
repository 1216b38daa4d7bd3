"""A whole visit by a program: patient, lesion, image, result, reading, review, register."""

from __future__ import annotations

import io
import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, ReviewState, State
from classifier.models import (
    Analysis,
    AuditEvent,
    BreakGlass,
    Image,
    Lesion,
    Patient,
    Prediction,
    Reading,
    Review,
)
from mlcore.drawing import draw_dermoscopy
from mlcore.labels import label_set
from tests import factories
from tests.api.programs import program_of, told

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cast


def a_file(seed: int = 1, name: str = "IMG_0001.png") -> SimpleUploadedFile:
    """Return a drawn nevus as a file."""
    drawn = io.BytesIO()
    draw_dermoscopy("nevus", seed=seed, size=(160, 120)).save(drawn, "PNG")
    return SimpleUploadedFile(name, drawn.getvalue(), content_type="image/png")


def answered(
    cast: Cast, *, decision: str = Decision.ANSWER, code: str = "unsure", **facts: Any
) -> Analysis:
    """Return a finished analysis of the first clinic's patient: melanoma with 62 %."""
    image = factories.make_image(cast.patient, cast.owner)
    analysis = factories.make_analysis(image, cast.owner)
    keys = label_set("isic9").keys
    chances = dict.fromkeys(keys, 0.38 / (len(keys) - 1)) | {"melanoma": 0.62}
    version = factories.make_model_version(active=False)
    prediction = Prediction.objects.create(
        clinic=cast.clinic,
        image=image,
        model_version=version,
        decision=decision,
        reason_code="" if decision == Decision.ANSWER else code,
        reason="" if decision == Decision.ANSWER else "The network is not sure enough.",
        probabilities=chances,
        top_label="melanoma",
        confidence=0.62,
        triage_group="skin cancer",
        evidence_maps={},
        engine="litert",
        artefact_sha256="0" * 64,
        input_sha256="0" * 64,
        attempt=1,
        timings_ms={"queue": 1.0, "read": 1.0, "network": 1.0},
    )
    done = State.REJECTED if decision == Decision.REJECTED else State.SUCCEEDED
    Analysis.objects.filter(pk=analysis.pk).update(
        state=done,
        attempt=1,
        finished_at=timezone.now(),
        model_version=version,
        prediction=prediction,
        decision=decision,
        top_label="melanoma",
        triage_rank=0,
        **facts,
    )
    analysis.refresh_from_db()
    return analysis


def test_a_visit(cast: Cast, django_capture_on_commit_callbacks: Any) -> None:
    program = program_of(cast.owner, cast.clinic)
    new = {
        "record_number": "MRN-77",
        "name": "Grace Other",
        "date_of_birth": "1970-02-28",
        "sex": "female",
        "skin_type": "III",
    }
    patient = told(program.post("/patients", new), 201)
    assert new.items() <= patient.items()
    assert told(program.get(f"/patients/{patient['id']}")) == patient
    row = Patient.objects.get(pk=patient["id"])
    assert (row.clinic, row.created_by) == (cast.clinic, cast.owner)

    lesions = f"/patients/{patient['id']}/lesions"
    lesion = told(program.post(lesions, {"label": "mole on the back", "body_site": "back"}), 201)
    assert told(program.get(lesions))["items"] == [lesion]

    images = f"/patients/{patient['id']}/images"
    facts = {
        "modality": "dermoscopy",
        "lesion": lesion["id"],
        "taken_at": "2026-01-02T03:04:05+01:00",
    }
    sent = told(program.send(images, image=a_file(), **facts), 201)
    assert (sent["known"], sent["lesion"], sent["width"]) == (False, lesion["id"], 160)
    analysis = sent["analysis"]
    assert (analysis["state"], analysis["finished"], analysis["hidden"]) == ("queued", False, False)
    again = told(program.send(images, image=a_file(name="other name.png"), **facts))
    assert (again["id"], again["known"]) == (sent["id"], True)
    # It was sent for no lesion or another one: the answer says that it stays where it is.
    assert (sent["other_lesion"], again["other_lesion"], again["lesion"]) == (
        False,
        False,
        lesion["id"],
    )
    loose = told(program.send(images, image=a_file(), modality="dermoscopy"))
    assert (loose["id"], loose["other_lesion"], loose["lesion"]) == (sent["id"], True, lesion["id"])
    assert Image.objects.count() == Analysis.objects.count() == 1
    assert told(program.get(images))["items"] == [sent]
    assert told(program.get(f"/analyses/{analysis['id']}")) == analysis
    result = told(program.get(f"/analyses/{analysis['id']}/result"))
    assert (result["answer"], result["hidden"]) == (None, False)

    # Every deed has its event, under the person's name and with the token.
    assert program.token is not None
    done = AuditEvent.objects.filter(details__token=str(program.token.pk))
    actions = set(done.values_list("action", flat=True))
    assert actions >= {
        "patient.registered",
        "patient.viewed",
        "lesion.added",
        "image.added",
        "analysis.requested",
    }
    assert {event.actor for event in done} == {cast.owner}
    with_token = AuditEvent.objects.get(action="lesion.added")
    page = cast.client_of(cast.administrator).get(reverse("audit_trail"))
    assert re.search(rf"<dd>\s*{program.token.pk}\s*</dd>", page.content.decode())
    assert with_token.patient_key == row.pk
    from django.apps import apps

    version = apps.get_model("classifier", "LesionEvent").objects.get()
    assert version.pgh_context["token"] == str(program.token.pk)
    assert version.pgh_context["page"] == "api:lesions"


def test_a_blinded_reader_stays_blinded(cast: Cast) -> None:
    analysis = answered(cast, decision=Decision.REJECTED)
    program = program_of(cast.owner, cast.clinic)
    about = f"/analyses/{analysis.pk}"

    def hides(response: Any) -> Any:
        facts = told(response)
        for word in ("melanoma", "skin cancer", "rejected", "0.62", "not sure"):
            assert word not in response.content.decode().lower(), word
        return facts

    state = hides(program.get(about))
    assert (state["state"], state["hidden"], state["finished"]) == ("succeeded", True, True)
    result = hides(program.get(f"{about}/result"))
    assert (result["hidden"], result["answer"]) == (True, None)
    assert "own reading first" in result["note"]
    row = hides(program.get("/register"))["items"][0]
    assert (row["hidden"], row["decision"], row["probability"], row["state"]) == (
        True,
        None,
        None,
        "succeeded",
    )
    hides(program.get(f"/patients/{cast.patient.pk}/images"))
    defer = {"verdict": "defer", "expected_number": 0}
    assert "reading first" in told(program.post(f"{about}/reviews", defer), 422)["detail"]
    assert not AuditEvent.objects.filter(action="answer.viewed").exists()

    told(program.post(f"{about}/reading", {"diagnosis": "no such label"}), 422)
    shown = told(program.post(f"{about}/reading", {"diagnosis": "nevus"}), 201)
    assert (shown["hidden"], shown["analysis"]["state"]) == (False, "rejected")
    assert shown["answer"]["decision"] == "rejected"
    assert (shown["answer"]["probabilities"], shown["answer"]["triage_group"]) == ([], None)
    assert [row["blinded"] for row in shown["readings"]] == [True]
    assert Reading.objects.get().blinded
    viewed = AuditEvent.objects.get(action="answer.viewed")
    assert program.token is not None
    assert (viewed.actor, viewed.details["token"]) == (cast.owner, str(program.token.pk))
    told(program.post(f"{about}/reading", {"diagnosis": "nevus"}), 409)
    # A colleague is still blinded, and does not see what the first one thought.
    other = program_of(cast.colleague, cast.clinic)
    assert told(other.get(f"{about}/result"))["readings"] == []


def test_an_answer_is_told_as_the_page_tells_it(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = answered(cast)
    program = program_of(cast.owner, cast.clinic)
    answer = told(program.get(f"/analyses/{analysis.pk}/result"))["answer"]
    assert (answer["decision"], answer["first_label"]) == ("answer", "melanoma")
    assert answer["triage_group"] == "skin cancer"
    assert answer["probabilities"][0] == {
        "label": "melanoma",
        "name": "Melanoma",
        "icd10": "C43.9",
        "triage_group": "skin cancer",
        "probability": 0.62,
        "shown": "62 %",
    }
    assert sum(row["probability"] for row in answer["probabilities"]) == pytest.approx(1)
    assert "Of ten images" in answer["words"]
    unsure = answered(cast, decision=Decision.CANNOT_SAY)
    answer = told(program.get(f"/analyses/{unsure.pk}/result"))["answer"]
    assert (answer["decision"], answer["first_label"], answer["words"]) == (
        "cannot_say",
        None,
        None,
    )
    assert answer["reason"] == "The network is not sure enough."
    assert answer["triage_group"] == "skin cancer"
    unlike = answered(cast, decision=Decision.CANNOT_SAY, code="outside_labels")
    answer = told(program.get(f"/analyses/{unlike.pk}/result"))["answer"]
    assert (answer["reason_code"], answer["triage_group"]) == ("outside_labels", None)


def test_reviews_follow_the_pages_rules(cast: Cast) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = answered(cast)
    program = program_of(cast.owner, cast.clinic)
    address = f"/analyses/{analysis.pk}/reviews"
    overrule = {"verdict": "overrule", "expected_number": 0, "diagnosis": "nevus"}
    overrule["seen"] = told(program.get(f"/analyses/{analysis.pk}/result"))["seen"]
    late = program.post(address, overrule | {"reason": "Typical net", "seen": "another-0"})
    assert "moved on" in told(late, 409)["detail"]
    assert "why" in told(program.post(address, overrule), 422)["detail"]
    review = told(program.post(address, overrule | {"reason": "Typical net"}), 201)
    assert (review["number"], review["diagnosis_name"]) == (1, "Nevus")
    agree = {"verdict": "agree", "expected_number": 0}
    assert "Somebody reviewed" in told(program.post(address, agree), 409)["detail"]
    assert Review.objects.count() == 1
    row = told(program.get("/register"))["items"][0]
    assert (row["final_diagnosis"], row["review_state"]) == ("Nevus", ReviewState.REVIEWED)
    assert (row["patient_name"], row["probability"]) == ("Ada Example", 0.62)
    exported = AuditEvent.objects.get(action="register.exported")
    assert (exported.actor, exported.details["rows"]) == (cast.owner, 1)


def test_pages_follow_each_other_without_gap_or_repetition(cast: Cast) -> None:
    for number in range(6):
        factories.make_patient(cast.clinic, cast.owner, name=f"Same Name {number // 3}")
    program = program_of(cast.owner, cast.clinic)
    found: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = told(program.get("/patients", limit=2, **after))
        found += [row["id"] for row in page["items"]]
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert found == [str(row.pk) for row in Patient.objects.order_by("name", "id")]
    assert [r["name"] for r in told(program.get("/patients", q="ada ex"))["items"]] == [
        "Ada Example"
    ]
    refused = told(program.get("/patients", after=str(uuid.uuid4())), 422)
    assert refused["errors"][0]["field"] == "query.after"
    theirs = factories.make_patient(cast.other_clinic, cast.stranger)
    told(program.get("/patients", after=str(theirs.pk)), 422)
    told(program.get("/patients", limit=201), 422)
    typo = told(program.get("/register", sinse="2026-01-01"), 422)
    assert typo["errors"][0]["field"] == "query.sinse"
    told(program.get(f"/patients/{cast.patient.pk}", patient="x"), 422)
    for _number in range(3):
        answered(cast)
    first = told(program.get("/register", limit=2))
    rest = told(program.get("/register", limit=2, after=first["next"]))
    listed = [row["analysis"] for row in (*first["items"], *rest["items"])]
    newest_first = Analysis.objects.order_by("-created_at", "-id")
    assert listed == [str(row.pk) for row in newest_first]
    assert rest["next"] is None
    assert told(program.get("/register", since="2999-01-01"))["items"] == []


def test_emergency_access_opens_nothing_to_a_token(cast: Cast) -> None:
    program = program_of(cast.stranger, cast.other_clinic)
    BreakGlass.objects.create(
        user=cast.stranger,
        clinic=cast.clinic,
        patient=cast.patient,
        reason="Unconscious",
        expires_at=timezone.now() + timedelta(hours=1),
    )
    assert Patient.objects.visible_to(cast.stranger).filter(pk=cast.patient.pk).exists()
    told(program.get(f"/patients/{cast.patient.pk}"), 404)
    assert told(program.get("/patients"))["items"] == []


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"record_number": "", "name": "A"}, 422, "body.facts.record_number"),
        ({"record_number": " ", "name": "A"}, 422, "body.facts.record_number"),
        ({"record_number": "1\x00", "name": "A"}, 422, "body.facts.record_number"),
        ({"record_number": "1", "name": "A", "sex": "unheard"}, 422, "body.facts.sex"),
        ({"record_number": "1", "name": "A", "clinic": "x"}, 422, "body.facts.clinic"),
        ({"record_number": 1, "name": "A"}, 422, "body.facts.record_number"),
        ({"record_number": "1", "name": "A", "date_of_birth": 0}, 422, "body.facts.date_of_birth"),
        ({"record_number": "1", "name": "A", "date_of_birth": "2999-01-01"}, 422, "date_of_birth"),
        ([], 422, "body.facts"),
    ],
)
def test_what_is_no_patient(cast: Cast, body: Any, status: int, field: str) -> None:
    facts = told(program_of(cast.owner, cast.clinic).post("/patients", body), status)
    assert facts["errors"][0]["field"] == field
    assert Patient.objects.count() == 1


def test_a_taken_record_number(cast: Cast) -> None:
    body = {"record_number": cast.patient.record_number, "name": "Grace"}
    facts = told(program_of(cast.owner, cast.clinic).post("/patients", body), 422)
    assert facts["errors"] == [
        {"field": "record_number", "message": "This clinic already has a patient with this number."}
    ]


def test_files_that_are_no_pictures(cast: Cast, tmp_path: Path) -> None:
    program = program_of(cast.owner, cast.clinic)
    address = f"/patients/{cast.patient.pk}/images"

    def send(data: bytes, **fields: Any) -> Any:
        file = SimpleUploadedFile("a.jpg", data, content_type="image/jpeg")
        return program.send(address, image=file, **({"modality": "clinical"} | fields))

    assert "PDF" in told(send(b"%PDF-1.7 " + b"x" * 200), 415)["detail"]
    assert told(send(a_file().read()[:900]), 422)["errors"][0]["field"] == "image"
    told(send(a_file().read(), modality="x-ray"), 422)
    told(program.send(address, modality="clinical"), 422)
    ahead = {"taken_at": "2999-01-01T00:00:00Z"}
    assert told(send(a_file().read(), **ahead), 422)["errors"][0]["field"] == "taken_at"
    theirs = Lesion.objects.create(
        clinic=cast.clinic,
        patient=factories.make_patient(cast.clinic, cast.owner),
        label="mole",
        created_by=cast.owner,
    )
    told(send(a_file().read(), lesion=str(theirs.pk)), 404)
    told(program.post(address, {"modality": "clinical"}), 415)
    assert not Image.objects.exists()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bodies_and_addresses_that_cannot_be_read(cast: Cast) -> None:
    program = program_of(cast.owner, cast.clinic)
    headers = {"Authorization": f"Bearer {program.text}"}

    def post(body: str, kind: str = "application/json") -> Any:
        return program.client.post("/api/v1/patients", body, content_type=kind, headers=headers)

    assert told(post("{"), 400)["detail"] == "The body is not JSON."
    told(post("[" * 100_000), 400)
    told(post("a=b", "application/x-www-form-urlencoded"), 415)
    told(program.get("/nothing"), 404)
    told(program.get("/patients/1"), 404)
    wrong = program.client.delete("/api/v1/patients", headers=headers)
    assert told(wrong, 405)["title"] == "Method Not Allowed"
    assert set(wrong["Allow"].split(", ")) == {"GET", "POST"}
    told(post("x" * (3 * 1024 * 1024)), 413)


def test_networks(cast: Cast) -> None:
    version = factories.make_model_version()
    program = program_of(cast.owner, cast.clinic, "read")
    listed = told(program.get("/models"))["items"]
    assert [row["id"] for row in listed] == [str(version.pk)]
    one = told(program.get(f"/models/{version.pk}"))
    assert one == listed[0]
    assert (one["active"], len(one["labels"])) == (True, 9)


def test_the_page_and_the_document(cast: Cast) -> None:
    page = cast.client_of(cast.owner).get(reverse("api_docs")).content.decode()
    document = cast.client_of(None).get(reverse("api_schema")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert f"{method.upper()} {path}" in page
            assert f'id="{operation["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        if "properties" in document["components"]["schemas"][name]:
            assert f'id="object-{name}"' in page
    assert "style=" not in page
    assert cast.client_of(None).get(reverse("api_docs")).status_code == 302
