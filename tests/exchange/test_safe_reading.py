"""What a receiver must not read out of a report: an answer safer than what was said here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.choices import Decision, Verdict
from tests.exchange.test_letters_and_fhir import fetch, fhir_of, judged, read, review, text_of

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
