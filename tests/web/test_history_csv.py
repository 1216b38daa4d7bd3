"""The CSV of the filtered history: which rows, which cells, and what a spreadsheet must not run."""

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

from classifier.choices import BodySite, Decision, Modality
from classifier.models import AuditEvent, Lesion
from classifier.services.outcomes import record_outcome
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import Analysis, User
    from tests.conftest import Cast


def export(cast: Cast, user: User | None = None, **query: str) -> list[dict[str, str]]:
    """Return the exported rows by column."""
    response = cast.client_of(user or cast.owner).get(reverse("history_csv"), query)
    assert response.status_code == 200
    assert response.streaming
    text = b"".join(response).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def add(cast: Cast, **extra: Any) -> Analysis:
    """Add an answered analysis."""
    image = make.bare_image(extra.pop("patient", cast.patient), cast.owner)
    return make.answered(image, cast.owner, **extra)


@pytest.fixture
def open_cast(cast: Cast) -> Cast:
    """Return the cast of a clinic that shows answers at once."""
    cast.clinic.blinded_first = False
    cast.clinic.save()
    return cast


def test_a_row_tells_what_the_history_tells(open_cast: Cast) -> None:
    lesion = Lesion.objects.create(
        clinic=open_cast.clinic,
        patient=open_cast.patient,
        label="Left of the spine",
        body_site=BodySite.BACK,
        created_by=open_cast.owner,
    )
    analysis = add(open_cast, top="melanoma", confidence=0.83)
    analysis.image.lesion = lesion
    analysis.image.save()
    save_review(
        analysis=analysis,
        by=open_cast.owner,
        verdict="overrule",
        diagnosis="other",
        diagnosis_text="Spitz naevus",
        reason="Age",
        expected_number=0,
    )
    record_outcome(
        lesion=lesion,
        by=open_cast.owner,
        kind="histopathology",
        diagnosis="melanoma",
        found_on=timezone.localdate(),
        expected_number=0,
    )
    (row,) = export(open_cast)
    assert analysis.model_version is not None
    assert row == {
        "analysis": str(analysis.pk),
        "clinic": "Northern Skin Clinic",
        "record number": open_cast.patient.record_number,
        "patient": "Ada Example",
        "modality": "Dermoscopy",
        "lesion": "Left of the spine",
        "body site": "Back",
        "requested at": timezone.localtime(analysis.created_at).isoformat(timespec="seconds"),
        "state": "Done",
        "decision": "Answer",
        "first label": "Melanoma",
        "probability": "83 %",
        "model version": analysis.model_version.version,
        "review": "Reviewed",
        "reviewer": "owner@north.example",
        "final diagnosis": "Spitz naevus",
        "outcome": "Melanoma",
        "outcome known by": "Histopathology",
        "outcome found on": timezone.localdate().isoformat(),
    }


def test_rows_without_an_answer_have_empty_cells(open_cast: Cast) -> None:
    make.failed(make.bare_image(open_cast.patient, open_cast.owner), open_cast.owner)
    (row,) = export(open_cast)
    assert row["state"] == "Failed"
    for column in ("decision", "first label", "probability", "review", "final diagnosis"):
        assert row[column] == ""


def test_a_blinded_persons_rows_hide_the_answer_only(cast: Cast) -> None:
    read, unread = add(cast, top="melanoma"), add(cast, decision=Decision.REJECTED)
    save_reading(analysis=read, by=cast.owner, diagnosis="nevus")
    rows = {row["analysis"]: row for row in export(cast)}
    assert rows[str(read.pk)]["first label"] == "Melanoma"
    hidden = rows[str(unread.pk)]
    assert hidden["state"] == "Done"
    assert hidden["patient"] == "Ada Example"
    for column in ("decision", "first label", "probability", "final diagnosis"):
        assert hidden[column] == ""
    for row in export(cast, cast.colleague):
        assert row["first label"] == ""


def test_only_permitted_rows_leave(open_cast: Cast) -> None:
    mine = add(open_cast)
    elsewhere = factories.make_patient(open_cast.other_clinic, open_cast.stranger)
    theirs = add(open_cast, patient=elsewhere)
    assert [row["analysis"] for row in export(open_cast)] == [str(mine.pk)]
    assert [row["analysis"] for row in export(open_cast, open_cast.stranger)] == [str(theirs.pk)]
    assert export(open_cast, open_cast.superuser) == []


def test_the_export_holds_what_the_filters_list(open_cast: Cast) -> None:
    now = timezone.now()
    made = [add(open_cast, created_at=now - timedelta(days=days)) for days in range(3)]
    photo = make.answered(
        make.bare_image(open_cast.patient, open_cast.owner, Modality.CLINICAL),
        open_cast.owner,
        top="acne",
    )
    assert [row["analysis"] for row in export(open_cast, modality="dermoscopy")] == [
        str(analysis.pk) for analysis in made
    ]
    assert [row["analysis"] for row in export(open_cast, label="acne", q="ada")] == [str(photo.pk)]


@pytest.mark.parametrize(
    "start",
    [
        "=",
        "+",
        "-",
        "@",
        "\t",
        "\r",
        "\n",
        "\uff1d",
        "\uff0b",
        "\uff0d",
        "\uff20",
        "=cmd|' /C calc'!A0",
    ],
)
def test_a_spreadsheet_takes_every_cell_for_text(open_cast: Cast, start: str) -> None:
    hostile = start + '1+1",=2;=3"x'
    patient = factories.make_patient(
        open_cast.clinic, open_cast.owner, name=hostile, record_number=hostile
    )
    add(open_cast, patient=patient)
    (row,) = export(open_cast)
    text = "'" + hostile.replace(";=", ";'=")
    assert (row["patient"], row["record number"]) == (text, text)


def test_cells_with_separators_stay_one_cell(open_cast: Cast) -> None:
    name = 'Ada, "the first"; Example\nof many'
    add(open_cast, patient=factories.make_patient(open_cast.clinic, open_cast.owner, name=name))
    (row,) = export(open_cast)
    assert row["patient"] == name


def test_the_export_is_a_private_file_whose_name_says_nothing(open_cast: Cast) -> None:
    add(open_cast)
    client = open_cast.client_of(open_cast.owner)
    response = client.get(reverse("history_csv"), {"q": "Ada Example"})
    b"".join(response)
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == (
        f'attachment; filename="skinapp-history-{timezone.localdate():%Y-%m-%d}.csv"'
    )
    assert "no-store" in response["Cache-Control"]


def test_an_export_leaves_a_trace_that_names_no_patient(open_cast: Cast) -> None:
    export(open_cast, q="Ada Example", modality="dermoscopy")
    event = AuditEvent.objects.get(action="history.exported")
    assert event.actor == open_cast.owner
    assert event.details == {"filters": ["modality", "q"]}


def test_a_long_export_is_cut_and_says_so(open_cast: Cast, settings: LazySettings) -> None:
    settings.CSV_MAX_ROWS = 2
    for _ in range(2):
        add(open_cast)
    assert len(export(open_cast)) == 2
    assert all(row["patient"] for row in export(open_cast))
    add(open_cast)
    rows = export(open_cast)
    assert len(rows) == 3
    assert rows[-1]["analysis"] == "Cut after 2 rows; narrow the filters for the rest."
    assert not rows[-1]["patient"]


def test_the_export_streams_in_few_queries(
    open_cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            export(open_cast)
        return len(queries)

    add(open_cast)
    one = cost()
    for _ in range(20):
        add(open_cast)
    assert cost() == one
    # Batch by batch: neither rows nor queries pile up.
    monkeypatch.setattr("classifier.selectors.lists.CSV_BATCH", 5)
    assert cost() <= one + 2 * (21 // 5)
    assert len(export(open_cast)) == 21
