"""What the lines of an import say, and what a file of refused ones says when it comes back."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.choices import RowState
from classifier.exchange.importing import start
from classifier.exchange.rows import wanted
from classifier.models import Image, Lesion, Patient
from classifier.services.errors import RuleError
from tests.exchange.imported import HEAD, packed, sent, through, told
from tests.web.uploaded import picture_bytes

if TYPE_CHECKING:
    from tests.conftest import Cast

LINE = {
    "patient_number": "N-1",
    "name": "Nora New",
    "modality": "clinical",
    "file": "one.jpg",
}


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "UTC", "America/Los_Angeles"])
def test_a_day_is_the_same_day_elsewhere(cast: Cast, zone: str) -> None:
    with timezone.override(zone):
        asked = wanted(LINE | {"taken": "2024-05-01"}, cast.clinic)
    assert asked.taken_at is not None
    assert f"{asked.taken_at.astimezone(UTC):%Y-%m-%d}" == "2024-05-01"


@pytest.mark.parametrize("hour", [1, 11, 13, 23])
def test_today_is_no_day_of_the_future(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, hour: int
) -> None:
    now = datetime(2026, 11, 22, hour, tzinfo=UTC)
    monkeypatch.setattr(timezone, "now", lambda: now)
    today = wanted(LINE | {"taken": "2026-11-22"}, cast.clinic)
    assert today.taken_at == min(now, now.replace(hour=12))
    with pytest.raises(RuleError, match="in the future"):
        wanted(LINE | {"taken": "2026-11-23"}, cast.clinic)


def test_refused_lines_come_back_as_they_were(cast: Cast) -> None:
    line = [
        "-4711",
        "=cmd()",
        "",
        "Mole; =1+1",
        "",
        "",
        "xray",
        "@one.jpg",
    ]
    table = io.StringIO()
    csv.writer(table).writerow(line)
    run = sent(cast, packed(HEAD + table.getvalue(), {"@one.jpg": picture_bytes(1)}))
    through(run)
    client = cast.client_of(cast.administrator)
    fetched = client.get(reverse("import_refused", args=[run.pk])).content
    assert b"'-4711" in fetched
    again = sent(cast, packed(fetched, {"@one.jpg": picture_bytes(1)}))
    assert again != run
    facts = run.rows.get().facts
    assert (again.rows.get().facts, facts["patient_number"]) == (facts, "-4711")


def test_two_sites_of_one_lesion_are_told_before_anything_is_added(cast: Cast) -> None:
    Patient.objects.filter(pk=cast.patient.pk).update(record_number="N-1")
    Lesion.objects.create(
        clinic=cast.clinic,
        patient=cast.patient,
        label="Mole",
        body_site="back",
        created_by=cast.owner,
    )
    lines = {
        "N-1,,,Mole,face,,clinical,1.jpg": "recorded at another site",
        "N-1,,,Mole,Back,,clinical,2.jpg": "",
        "N-1,,,Mole,,,clinical,3.jpg": "",
        "N-2,Nora New,,Mole,face,,clinical,4.jpg": "",
        "N-2,,,Mole,back,,clinical,5.jpg": "no patient of this number",
        "N-2,Nora New,,Mole,back,,clinical,6.jpg": "Line 5 says another site of this lesion",
        "N-2,Nora New,,Mole,,,clinical,7.jpg": "",
    }
    files = {f"{number}.jpg": picture_bytes(number) for number in range(1, len(lines) + 1)}
    run = sent(cast, packed(HEAD + "".join(f"{line}\n" for line in lines), files))
    fit = sum(not wanted for wanted in lines.values())
    assert through(run) == {RowState.READY: fit, RowState.REFUSED: len(lines) - fit}
    found = told(run)
    for line, (text, sentence) in enumerate(lines.items(), start=2):
        assert sentence in found.get(line, ""), text
    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    assert through(run) == {RowState.DONE: fit, RowState.REFUSED: len(lines) - fit}
    sites = Image.objects.values_list("patient__record_number", "lesion__body_site")
    assert sorted(sites) == [("N-1", "back")] * 2 + [("N-2", "face")] * 2
