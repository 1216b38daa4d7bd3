"""What the lines of an import say, and what a file of refused ones says when it comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from classifier.choices import RowState
from classifier.exchange.importing import start
from classifier.models import Image, Lesion, Patient
from tests.exchange.imported import HEAD, packed, sent, through, told
from tests.web.uploaded import picture_bytes

if TYPE_CHECKING:
    from tests.conftest import Cast


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
    for line, (text, wanted) in enumerate(lines.items(), start=2):
        assert wanted in found.get(line, ""), text
    start(run=run, by=cast.administrator)
    run.refresh_from_db()
    assert through(run) == {RowState.DONE: fit, RowState.REFUSED: len(lines) - fit}
    sites = Image.objects.values_list("patient__record_number", "lesion__body_site")
    assert sorted(sites) == [("N-1", "back")] * 2 + [("N-2", "face")] * 2
