"""Images judged before embeddings were kept are placed afterwards, and nothing else changes."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from classifier.choices import ReviewState
from classifier.models import Analysis, Embedding, Image, ModelVersion, Patient, Prediction
from classifier.services import embedding_fill
from classifier.services.analyses import request_analysis
from classifier.services.embedding_fill import batches, unplaced
from classifier.services.model_versions import activate_version, register_release
from classifier.services.worker import run_batch
from mlcore.predictor import Predictor
from tests import factories
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Cast


def answered(cast: Cast, count: int) -> list[Analysis]:
    """Have images judged, and forget where they were placed, as if it were long ago."""
    asked = [
        request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
        for _number in range(count)
    ]
    assert run_batch(worker="w") == count
    return asked


def forget() -> dict[Any, list[float]]:
    """Let every embedding be missing, as from before they were kept; return them by prediction."""
    known = dict(Embedding.objects.values_list("prediction", "vector"))
    # A trigger keeps every row while its patient is there.
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("DELETE FROM classifier_embedding")
        cursor.execute("SET LOCAL session_replication_role = origin")
    return known


def confirm(*analyses: Analysis) -> None:
    """Let clinicians have decided."""
    keys = [analysis.pk for analysis in analyses]
    Analysis.objects.filter(pk__in=keys).update(review_state=ReviewState.REVIEWED)


def told(*options: str) -> str:
    """Run the command and return its words."""
    out = io.StringIO()
    call_command("fill_embeddings", *options, stdout=out, stderr=out)
    return out.getvalue()


def on_record() -> list[dict[str, Any]]:
    """Return all predictions and analyses, every column."""
    rows = [*Prediction.objects.order_by("pk").values(), *Analysis.objects.order_by("pk").values()]
    return [dict(row) for row in rows]


def test_confirmed_cases_are_placed_where_the_worker_had_placed_them(
    cast: Cast, networks: dict[str, ModelVersion]
) -> None:
    first, second, _third = answered(cast, 3)
    known = forget()
    confirm(first, second)
    before = on_record()
    counted = told("--dry-run")
    assert "isic9 0.1.0: 2 without an embedding" in counted
    assert not Embedding.objects.exists()
    assert "Computed: 2" in told()
    found = Embedding.objects.select_related("prediction__image").all()
    assert len(found) == 2
    for one in found:
        assert one.vector == pytest.approx(known[one.prediction_id], abs=1e-3)
        assert (one.clinic, one.patient) == (cast.clinic, cast.patient)
        assert one.model_version == networks["isic9"]
    # Twice is once, and the rest comes when it is asked for.
    assert "0 in all." in told()
    assert "Computed: 1" in told("--all")
    assert Embedding.objects.count() == 3
    assert on_record() == before


def test_each_is_placed_by_the_release_that_answered(
    cast: Cast, networks: dict[str, ModelVersion], releases: Path, tiny_networks: Path
) -> None:
    (old,) = answered(cast, 1)
    release = write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", temperature=2.0)
    version, _new = register_release(folder=release.folder)
    activate_version(version=version)
    request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    assert run_batch(worker="w") == 1
    forget()
    confirm(*Analysis.objects.all())
    assert "Computed: 2" in told()
    placed = set(Embedding.objects.values_list("prediction", "model_version"))
    assert placed == set(Prediction.objects.values_list("pk", "model_version"))
    old.refresh_from_db()
    assert (old.prediction_id, networks["isic9"].pk) in placed


def test_a_release_that_is_gone_costs_the_others_nothing(
    cast: Cast, networks: dict[str, ModelVersion], releases: Path
) -> None:
    confirm(*answered(cast, 1))
    clinical = factories.make_image(cast.patient, cast.owner, modality="clinical")
    confirm(request_analysis(image=clinical, by=cast.owner))
    assert run_batch(worker="w") == 1
    forget()
    next((releases / "isic9" / "0.1.0").glob("*.tflite")).unlink()
    said = told()
    assert "Computed: 1" in said
    assert "Left out: 1 (the release's files are missing or were changed)" in said
    assert Embedding.objects.get().model_version == networks["clinical5"]


def test_what_cannot_be_placed_is_told_and_costs_the_others_nothing(
    cast: Cast, networks: dict[str, ModelVersion]
) -> None:
    cases = answered(cast, 4)
    forget()
    confirm(*cases)
    missing, changed, other = (case.image for case in cases[:3])
    missing.network_source.delete(save=False)
    assert changed.network_source.name is not None
    changed.network_source.storage.delete(changed.network_source.name)
    changed.network_source.storage.save(changed.network_source.name, io.BytesIO(b"other"))
    Image.objects.filter(pk=other.pk).update(network_source_sha256="f" * 64)
    said = told()
    assert "Computed: 1" in said
    assert "1 (the picture's file is missing)" in said
    assert "1 (the picture's file was changed)" in said
    assert "1 (the picture is not the one that was judged)" in said


def test_another_answer_than_the_one_on_record_is_not_placed(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm(*answered(cast, 1))
    forget()
    monkeypatch.setattr(embedding_fill, "_SAME", -1.0)
    assert "the release says something else now" in told()
    assert not Embedding.objects.exists()


def test_one_picture_that_breaks_the_network_costs_its_neighbours_nothing(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm(*answered(cast, 3))
    forget()
    whole = Predictor.predict
    sizes: list[int] = []

    def predict(self: Any, pictures: Any, qualities: Any = None) -> Any:
        sizes.append(len(pictures))
        if len(sizes) in {1, 3}:
            raise RuntimeError("broken")
        return whole(self, pictures, qualities)

    monkeypatch.setattr(Predictor, "predict", predict)
    said = told()
    assert sizes == [3, 1, 1, 1]
    assert "Computed: 2" in said
    assert "1 (the network broke on the picture)" in said


def test_fresh_uploads_go_first(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm(*answered(cast, 1))
    forget()
    request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    waited: list[int] = []

    def sleep(_seconds: float) -> None:
        waited.append(Embedding.objects.count())
        run_batch(worker="w")

    monkeypatch.setattr("classifier.management.commands.fill_embeddings.time.sleep", sleep)
    assert "Computed: 1" in told()
    assert waited == [0]


def test_every_case_is_met_once_however_many(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    answered(cast, 5)
    forget()
    monkeypatch.setattr(embedding_fill, "_KEYS", 3)
    monkeypatch.setattr(embedding_fill, "AT_ONCE", 2)
    found = list(batches(unplaced(every=True), networks["isic9"]))
    assert [len(keys) for keys in found] == [2, 1, 2]
    assert len({key for keys in found for key in keys}) == 5
    assert not unplaced(every=False).exists()
    assert not unplaced(every=True, clinic=cast.other_clinic).exists()


def test_an_erased_patient_gets_no_place(
    cast: Cast, networks: dict[str, ModelVersion], monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm(*answered(cast, 1))
    forget()
    monkeypatch.setattr(
        "classifier.services.embedding_fill.Patient.objects", Patient.objects.none()
    )
    assert "1 (erased meanwhile)" in told()
    assert not Embedding.objects.exists()


def test_a_clinic_is_named(cast: Cast, networks: dict[str, ModelVersion]) -> None:
    confirm(*answered(cast, 1))
    forget()
    assert "0 in all." in told("--clinic", cast.other_clinic.name)
    with pytest.raises(CommandError, match="no clinic"):
        told("--clinic", "Nowhere")
    assert "Computed: 1" in told("--clinic", cast.clinic.name)
