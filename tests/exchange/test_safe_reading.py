"""What a receiver must not read out of a report: an answer safer than what was said here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.choices import Decision, Verdict
from classifier.models import Analysis, ModelVersion
from tests import factories
from tests.exchange.test_letters_and_fhir import fetch, fhir_of, judged, read, review, text_of
from tests.web import answered as make

if TYPE_CHECKING:
    from tests.conftest import Cast


@pytest.mark.parametrize("code", ["", "unsure", "outside_labels"])
def test_the_group_goes_along_unless_the_probabilities_rest_on_nothing(
    cast: Cast, code: str
) -> None:
    # Nevus leads, and a melanoma is plausible.
    facts = {"decision": Decision.CANNOT_SAY if code else Decision.ANSWER, "reason_code": code}
    analysis = judged(cast, top="nevus", group="skin cancer", **facts)
    read(analysis, cast.owner)
    text = text_of(fetch(cast, cast.owner, "analysis_letter", analysis).content)
    told = "cannot be said" if code == "outside_labels" else "skin cancer"
    assert f"Worst plausible group {told}" in text
    answer = fhir_of(cast, cast.owner, analysis)["Observation"][0]
    group = answer["component"][0]
    assert group["code"] == {"text": "Worst plausible group"}
    if code == "outside_labels":
        assert group["dataAbsentReason"]["text"] == told
    else:
        assert group["valueCodeableConcept"] == {"text": told}
    data = fetch(cast, cast.owner, "analysis_dicom_report", analysis).content
    assert f"Worst plausible group: {told}." in data.decode(errors="replace")


def test_an_answer_is_final_only_while_a_clinician_stands_by_it(cast: Cast) -> None:
    analysis = judged(cast, top="nevus")
    read(analysis, cast.owner)

    def told() -> tuple[str, bool]:
        answer = fhir_of(cast, cast.owner, analysis)["Observation"][0]
        notes = [note["text"] for note in answer["note"]]
        return answer["status"], f"Overruled by {cast.owner}: Melanoma." in notes

    assert told() == ("preliminary", False)
    review(analysis, cast.owner, Verdict.AGREE)
    assert told() == ("final", False)
    review(analysis, cast.owner, Verdict.OVERRULE, diagnosis="melanoma", reason="Blue veil")
    assert told() == ("preliminary", True)
    (report,) = fhir_of(cast, cast.owner, analysis)["DiagnosticReport"]
    assert (report["status"], report["conclusionCode"][0]["text"]) == ("amended", "Melanoma")
    review(analysis, cast.owner, Verdict.DEFER)
    assert told() == ("preliminary", False)


def test_a_verdict_on_an_earlier_answer_does_not_stand_under_the_new_one(cast: Cast) -> None:
    analysis = judged(cast, decision=Decision.REJECTED)
    read(analysis, cast.owner)
    review(analysis, cast.owner, Verdict.AGREE, diagnosis="nevus")
    told = "of an earlier answer"

    def forms() -> dict[str, str]:
        page = cast.client_of(cast.owner).get(analysis.get_absolute_url()).content.decode()
        letter = fetch(cast, cast.owner, "analysis_letter", analysis).content
        data = fetch(cast, cast.owner, "analysis_dicom_report", analysis).content
        (verdict,) = (
            each["valueCodeableConcept"]["text"]
            for each in fhir_of(cast, cast.owner, analysis)["Observation"]
            if "verdict" in each["code"]["text"]
        )
        return {
            "page": page,
            "letter": text_of(letter),
            "report": data.decode(errors="replace"),
            "fhir": verdict,
        }

    assert not [form for form, words in forms().items() if told in words]
    # Tried again, and another release answers.
    ModelVersion.objects.update(active=False)
    factories.make_model_version()
    later = make.predict(analysis.image, top="melanoma")
    Analysis.objects.filter(pk=analysis.pk).update(
        prediction=later, decision=later.decision, state="succeeded", review_state="pending"
    )
    analysis.refresh_from_db()
    found = forms()
    assert all(told in words for words in found.values()), found
    assert found["fhir"] == f"Agree ({told})"
    read(analysis, cast.colleague, "melanoma")
    review(analysis, cast.colleague, Verdict.AGREE, reason="Blue veil")
    page = cast.client_of(cast.owner).get(analysis.get_absolute_url()).content.decode()
    assert page.count(told) == 1
