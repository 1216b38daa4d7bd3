"""Where a network places an image: kept with its result, handed out, erased with the patient."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from classifier.choices import RerunState
from classifier.models import Analysis, Embedding, ModelVersion, RerunRow
from classifier.models.embeddings import DIMENSIONS
from classifier.services import answers
from classifier.services.analyses import request_analysis
from classifier.services.erasure import erase_patient
from classifier.services.exports import export_patient
from classifier.services.model_versions import register_release
from classifier.services.rerun_work import go_on
from classifier.services.reruns import start_rerun
from classifier.services.worker import run_batch
from tests import factories
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cast


def answered(cast: Cast, count: int) -> None:
    """Have some images of the patient judged in one batch."""
    for _number in range(count):
        request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    assert run_batch(worker="w") == count


@pytest.mark.parametrize("count", [1, 9])
def test_a_result_is_stored_with_its_place(
    cast: Cast, networks: dict[str, ModelVersion], count: int
) -> None:
    answered(cast, count)
    found = Embedding.objects.select_related("prediction").all()
    assert len(found) == count
    for one in found:
        assert (one.patient, one.clinic) == (cast.patient, cast.clinic)
        assert one.model_version == networks["isic9"] == one.prediction.model_version
        # A tiny network has few features; zeros follow.
        assert len(one.vector) == DIMENSIONS
        assert any(one.vector[:8])
        assert not any(one.vector[64:])


def test_a_network_with_more_features_than_fit_keeps_none(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "DIMENSIONS", 1)
    answered(cast, 1)
    assert not Embedding.objects.exists()
    assert Analysis.objects.get().prediction is not None


def test_places_and_comparisons_are_handed_out_and_erased(
    cast: Cast, networks: dict[str, ModelVersion], releases: Path, tiny_networks: Path
) -> None:
    answered(cast, 2)
    release = write_tiny_release(releases, tiny_networks, "isic9", "0.2.0")
    candidate, _new = register_release(folder=release.folder)
    today = timezone.localdate()
    run = start_rerun(version=candidate, clinic=None, since=today, until=today, by=None)
    with (
        export_patient(patient=cast.patient, by=cast.administrator, reason="Asked for it") as pack,
        zipfile.ZipFile(pack) as archive,
    ):
        record = json.loads(archive.read("record.json"))
    assert [len(row["vector"]) for row in record["embeddings"]] == [DIMENSIONS] * 2
    assert [row["state"] for row in record["comparison_rows"]] == ["waiting"] * 2
    erase_patient(
        patient_key=cast.patient.pk,
        by=cast.administrator,
        reason="Asked for it",
        confirmation=cast.patient.record_number,
    )
    assert not Embedding.objects.exists()
    assert not RerunRow.objects.exists()
    # A comparison that was under way has nothing left to do.
    go_on(seconds=30)
    run.refresh_from_db()
    assert run.state == RerunState.FINISHED
