"""A rejected picture is read, tried again and answered: the answer meets what people said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from PIL import Image as Pillow

from classifier.choices import Difference, State
from classifier.models import Analysis, Disagreement, Reading
from classifier.services.analyses import request_analysis, retry_analysis
from classifier.services.answers import store_together
from classifier.services.model_versions import activate_version, register_release
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.worker import run_batch
from tests import factories
from tests.jobs.rows import make_analysis_in, make_prediction
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from pathlib import Path

    from classifier.models import ModelVersion
    from tests.conftest import Cast


@pytest.fixture
def tolerant(
    networks: dict[str, ModelVersion], releases: Path, tiny_networks: Path
) -> ModelVersion:
    """Return a version that takes any picture and always answers; it is not active yet."""
    quality = {"min_spread": 0.0, "min_luma": 0.0, "max_luma": 256.0, "min_sharpness": 0.0}
    facts = {"quality": quality, "answer_threshold": 0.0}
    release = write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", **facts)
    return register_release(folder=release.folder)[0]


def rejected(cast: Cast, count: int) -> list[Analysis]:
    """Have pictures of one flat colour rejected."""
    flat = Pillow.new("RGB", (320, 240), (190, 140, 120))
    rows = [
        request_analysis(
            image=factories.make_image(cast.patient, cast.owner, picture=flat), by=cast.owner
        )
        for _number in range(count)
    ]
    assert run_batch(worker="w") == count
    for row in rows:
        row.refresh_from_db()
        assert row.state == State.REJECTED
    return rows


def answered_again(cast: Cast, rows: list[Analysis], version: ModelVersion) -> None:
    """Try them again with a network that answers."""
    activate_version(version=version)
    for row in rows:
        row.refresh_from_db()
        retry_analysis(analysis=row, by=cast.owner, reason="A better network answers now.")
    # What was tried before runs alone.
    for _row in rows:
        assert run_batch(worker="w") == 1
    for row in rows:
        row.refresh_from_db()
        assert row.decision == "answer"


def test_an_answer_that_differs_from_an_earlier_reading_opens_a_disagreement(
    cast: Cast, tolerant: ModelVersion
) -> None:
    rows = rejected(cast, 2)
    for row in rows:
        save_reading(analysis=row, by=cast.owner, diagnosis="other", diagnosis_text="Scar")
    assert not Disagreement.objects.exists()
    answered_again(cast, rows, tolerant)
    found = Disagreement.objects.all()
    assert {one.analysis_id for one in found} == {row.pk for row in rows}
    assert {(one.difference, one.clinic, one.patient) for one in found} == {
        (Difference.GROUP, cast.clinic, cast.patient)
    }
    # A review with a diagnosis settles it like any other.
    review = save_review(analysis=rows[0], by=cast.owner, verdict="agree", expected_number=0)
    assert found.get(analysis=rows[0]).settled_by == review


def test_answers_that_are_stored_together_are_compared_too(
    cast: Cast, networks: dict[str, ModelVersion]
) -> None:
    version = networks["isic9"]
    rows = [
        make_analysis_in(State.RUNNING, cast, version, attempts_forgiven=number)
        for number in (2, 2, 0)
    ]
    Reading.objects.create(
        clinic=cast.clinic,
        analysis=rows[0],
        reader=cast.owner,
        diagnosis="other",
        diagnosis_text="Scar",
        blinded=True,
    )
    pairs = [(row, make_prediction(row, version)) for row in rows]
    assert store_together(pairs, worker="host:1")
    assert Disagreement.objects.get().analysis == rows[0]


def test_the_same_opinion_and_none_open_nothing(cast: Cast, tolerant: ModelVersion) -> None:
    unread, same = rejected(cast, 2)
    answered_again(cast, [unread], tolerant)
    # Both are the same picture.
    save_reading(analysis=same, by=cast.owner, diagnosis=unread.top_label)
    answered_again(cast, [same], tolerant)
    assert same.top_label == unread.top_label
    assert not Disagreement.objects.exists()


def test_an_answer_is_compared_with_the_last_decision(cast: Cast, tolerant: ModelVersion) -> None:
    (row,) = rejected(cast, 1)
    save_reading(analysis=row, by=cast.owner, diagnosis="nevus")
    save_review(
        analysis=row,
        by=cast.owner,
        verdict="overrule",
        expected_number=0,
        diagnosis="other",
        diagnosis_text="Scar",
        reason="The picture shows it.",
    )
    answered_again(cast, [row], tolerant)
    assert Disagreement.objects.get().difference == Difference.GROUP


def test_one_that_is_open_already_is_no_second_row(cast: Cast, tolerant: ModelVersion) -> None:
    (row,) = rejected(cast, 1)
    save_reading(analysis=row, by=cast.owner, diagnosis="nevus")
    save_reading(analysis=row, by=cast.colleague, diagnosis="melanoma")
    answered_again(cast, [row], tolerant)
    assert Disagreement.objects.get().difference == Difference.GROUP


def test_a_first_answer_looks_for_no_opinion(cast: Cast, tolerant: ModelVersion) -> None:
    activate_version(version=tolerant)
    for _number in range(5):
        request_analysis(image=factories.make_image(cast.patient, cast.owner), by=cast.owner)
    with CaptureQueriesContext(connection) as queries:
        assert run_batch(worker="w") == 5
    assert not any("classifier_reading" in query["sql"] for query in queries)
