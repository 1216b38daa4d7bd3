"""Drift in the clinic: a planted shift is told everywhere, a resample nowhere."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from classifier.choices import Modality
from classifier.models import LabelSet
from classifier.selectors.drift import drifts_of, measure_name, watched_versions
from classifier.tasks import watch_drift_task
from mlcore.drift import CONFIDENCE, GATE_PREFIX, INPUTS, LEAST_PICTURES, SUSPICION, reference_of
from tests import factories
from tests.web.counted import Case, store

if TYPE_CHECKING:
    from classifier.models import ModelVersion
    from tests.conftest import Cast

MEASURES = (*INPUTS, CONFIDENCE, SUSPICION, f"{GATE_PREFIX}labels")


def population(seed: int, count: int) -> dict[str, Any]:
    """Return measures (count,) by name as a release or a clinic could have them."""
    random = np.random.default_rng(seed)
    return {name: random.beta(4, 2 + place, count) for place, name in enumerate(MEASURES)}


def rows_of(measures: dict[str, Any]) -> list[dict[str, float]]:
    """Return what is stored with each prediction."""
    return [
        dict(zip(measures, map(float, values), strict=True))
        for values in zip(*measures.values(), strict=True)
    ]


@pytest.fixture
def version(db: None) -> ModelVersion:
    """Return an active version whose release carries a reference, read back from its file."""
    metrics = json.loads(json.dumps({"reference": reference_of(population(0, 800))}))
    return factories.make_model_version(LabelSet.ISIC9, metrics=metrics)


def answer(cast: Cast, measures: list[dict[str, float]], **facts: Any) -> None:
    """Store one answered picture for each of the measures."""
    patient = facts.pop("patient", cast.patient)
    store([Case(patient, cast.owner, measures=row, **facts) for row in measures])


def report(*arguments: str) -> tuple[int, str]:
    """Return the status and what was printed."""
    out = StringIO()
    try:
        call_command("drift_report", *arguments, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def test_a_resample_is_no_alarm(
    cast: Cast, version: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    answer(cast, rows_of(population(1, 150)))
    status, printed = report("--json")
    facts = json.loads(printed)
    assert (status, facts["alarm"]) == (0, False)
    (told,) = facts["versions"]
    assert (told["state"], told["pictures"]) == ("calm", 150)
    assert [row["measure"] for row in told["measures"]] == list(MEASURES)
    assert not any(row["shifted"] for row in told["measures"])
    assert report()[1].startswith(f"{version}: nothing has shifted (150 pictures)")
    with caplog.at_level(logging.WARNING):
        watch_drift_task.run()
    assert not caplog.records


@pytest.mark.parametrize("planted", ["sharpness", CONFIDENCE])
def test_a_planted_shift_is_an_alarm_everywhere(
    cast: Cast, version: ModelVersion, planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    shifted = population(1, 150)
    shifted[planted] = shifted[planted] - 0.8 * shifted[planted].std()
    answer(cast, rows_of(shifted))
    status, printed = report("--json", "--clinic", cast.clinic.name, "--version", version.version)
    facts = json.loads(printed)
    assert (status, facts["alarm"], facts["clinic"]) == (1, True, str(cast.clinic.pk))
    (told,) = facts["versions"]
    assert told["state"] == "alarm"
    assert [row["measure"] for row in told["measures"] if row["shifted"]] == [planted]
    status, printed = report()
    assert (status, "SHIFTED" in printed, f"! {measure_name(planted)}" in printed) == (
        1,
        True,
        True,
    )
    # The other clinic's pictures are its own.
    assert report("--clinic", str(cast.other_clinic.pk))[0] == 0
    with caplog.at_level(logging.WARNING):
        watch_drift_task.run()
    told_of = [record.getMessage() for record in caplog.records]
    assert len(told_of) == 2
    assert "all clinics" in told_of[0]
    assert str(cast.clinic.pk) in told_of[1]
    assert all(planted in line and str(version) in line for line in told_of)
    assert cast.patient.name not in caplog.text


def test_a_release_without_a_reference_is_told_plainly(cast: Cast) -> None:
    factories.make_model_version(LabelSet.ISIC9, metrics={"figures": {}})
    answer(cast, rows_of(population(1, 40)))
    status, printed = report("--json")
    assert status == 0
    assert json.loads(printed)["versions"][0]["state"] == "no_reference"
    assert "carries no reference" in report()[1]


def test_only_what_is_recent_measured_and_rightly_shown_is_compared(
    cast: Cast, version: ModelVersion
) -> None:
    far = {name: values * 0 for name, values in population(1, 40).items()}
    answer(cast, rows_of(far), at=timezone.now() - timedelta(days=31))
    answer(cast, rows_of(far), corrected=True)
    answer(cast, rows_of(far), version=factories.make_model_version(active=False))
    store([Case(cast.patient, cast.owner), Case(cast.patient, cast.owner, bare=True)])
    answer(cast, rows_of(population(2, LEAST_PICTURES - 1)))
    (drift,) = drifts_of(watched_versions(), until=timezone.now())
    assert (drift.pictures, drift.unmeasured) == (LEAST_PICTURES - 1, 1)
    assert drift.state == "too_few"
    # With a longer look back the old ones are there too.
    assert report("--days", "40")[0] == 1


def test_a_version_is_asked_for_by_name(cast: Cast, version: ModelVersion) -> None:
    former = factories.make_model_version(active=False, metrics=version.metrics)
    answer(cast, rows_of(population(1, 40)), version=former)
    for name in (former.version, f"isic9/{former.version}", str(former)):
        (told,) = json.loads(report("--json", "--version", name)[1])["versions"]
        assert (told["version"], told["active"], told["pictures"]) == (former.version, False, 40)
    (told,) = json.loads(report("--json")[1])["versions"]
    assert (told["version"], told["state"]) == (version.version, "too_few")


def test_a_measure_that_was_not_taken_is_not_compared(cast: Cast, version: ModelVersion) -> None:
    """A release may know more measures than were stored, and fewer."""
    rows = [{"sharpness": row["sharpness"], "new": 1.0} for row in rows_of(population(3, 60))]
    answer(cast, rows)
    (drift,) = drifts_of(watched_versions(), until=timezone.now())
    assert [row.measure for row in drift.shifts if row.enough] == ["sharpness"]
    nothing = next(row for row in drift.facts()["measures"] if row["measure"] == "contrast")
    assert (nothing["pictures"], nothing["median"]) == (0, None)


def test_each_network_is_compared_with_its_own_release(cast: Cast, version: ModelVersion) -> None:
    other = {"reference": reference_of({"sharpness": np.linspace(5, 6, 200)})}
    clinical = factories.make_model_version(LabelSet.CLINICAL5, metrics=other)
    answer(cast, rows_of(population(4, 60)))
    answer(cast, [{"sharpness": 0.5}] * 40, modality=Modality.CLINICAL, top="acne")
    found = {
        drift.version: drift.state for drift in drifts_of(watched_versions(), until=timezone.now())
    }
    assert found == {clinical: "alarm", version: "calm"}


@pytest.mark.parametrize(
    "arguments",
    [
        ("--clinic", "Nowhere"),
        ("--clinic", "00000000-0000-0000-0000-000000000000"),
        ("--version", "9.9.9"),
        ("--days", "0"),
    ],
)
def test_what_there_is_not_is_refused(version: ModelVersion, arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError):
        report(*arguments)
