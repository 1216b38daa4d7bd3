"""What the figures page says of drift, and what it keeps to itself."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
from django.utils import timezone

from classifier.choices import SkinType
from classifier.models import LabelSet
from classifier.selectors.figures import figures_page
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from mlcore.drift import reference_of
from tests import factories
from tests.web.answers import text_of
from tests.web.counted import Case, autumn, cases, store

if TYPE_CHECKING:
    from tests.conftest import Cast

PAGE = "/figures/"


def test_drift_is_told_with_an_alarm(cast: Cast) -> None:
    values = np.arange(100) / 100
    version = factories.make_model_version(
        LabelSet.ISIC9, metrics={"reference": reference_of({"sharpness": values})}
    )
    store(
        [Case(cast.patient, cast.owner, measures={"sharpness": float(one)}) for one in values[::2]]
    )
    client = cast.client_of(cast.owner)
    assert "no shift" in text_of(client.get(PAGE))
    assert "have shifted" not in text_of(client.get(PAGE))
    store([Case(cast.patient, cast.owner, measures={"sharpness": 0.99}) for _one in values])
    text = text_of(client.get(PAGE))
    assert f"The pictures for {version} have shifted" in text
    assert "released on: Sharpness" in text
    # Whatever period is looked at.
    assert "have shifted" in text_of(
        client.get(PAGE, {"since": "2020-01-01", "until": "2020-02-01"})
    )


def test_drift_is_parted_by_patients_without_an_alarm(cast: Cast) -> None:
    reference = reference_of(
        {"sharpness": np.arange(100) / 100, "confidence": np.arange(100) / 100}
    )
    factories.make_model_version(LabelSet.ISIC9, metrics={"reference": reference})
    dark = factories.make_patient(
        cast.clinic,
        cast.owner,
        skin_type=SkinType.VI,
        date_of_birth=date(timezone.now().year - 70, 1, 1),
    )
    now = timezone.now()
    even = [{"sharpness": number / 100, "confidence": number / 100} for number in range(100)]
    store([case for one in even for case in cases(cast, 1, at=now, measures=one, final="nevus")])
    blurred = {"sharpness": 0.0, "confidence": 0.99}
    facts: dict[str, Any] = {"at": now, "patient": dark, "measures": blurred}
    store(cases(cast, 4, **facts, final="nevus"))
    page = figures_page(cast.owner, autumn(cast.clinic), now=timezone.now())
    (view,) = page.drift
    assert not page.alarms
    assert view.groups is not None
    rows = {name: rest for name, *rest in view.groups.rows}
    assert rows["Skin type (Fitzpatrick): V and VI"] == ["4", *["too few to say"] * 2]
    assert rows["Skin type (Fitzpatrick): Unknown"][0] == "100"
    store(cases(cast, 26, **facts, final="nevus"))
    (view,) = figures_page(cast.owner, autumn(cast.clinic), now=timezone.now()).drift
    assert view.groups is not None
    rows = {name: rest for name, *rest in view.groups.rows}
    told = ["30", "Sharpness, 1.00", "Highest probability, 1.00"]
    assert rows["Skin type (Fitzpatrick): V and VI"] == rows["Age in years: 60 to 79"] == told
    assert "distance by skin type" in text_of(cast.client_of(cast.owner).get(PAGE))


def test_drift_tells_nothing_of_an_answer_that_somebody_has_yet_to_read_without(
    cast: Cast,
) -> None:
    """Else the page before and after one picture tells what the network said of it."""
    measures = ("sharpness", "suspicion", "gate_labels")
    reference = reference_of(dict.fromkeys(measures, np.arange(100) / 100))
    factories.make_model_version(LabelSet.ISIC9, metrics={"reference": reference})
    now = timezone.now()
    for number in range(30):
        told = dict.fromkeys(measures, number / 30)
        store(cases(cast, 1, at=now, measures=told, final="nevus"))

    def drift_told() -> tuple[dict[str, Any], Any, str]:
        page = figures_page(cast.colleague, autumn(cast.clinic), now=timezone.now())
        (view,) = page.drift
        assert view.plot is not None
        assert view.groups is not None
        rows = {name: rest for name, *rest in view.plot.table.rows}
        return rows, [row[3] for row in view.groups.rows], view.alarms

    before = drift_told()
    (hidden,) = store(cases(cast, 1, at=now, measures=dict.fromkeys(measures, 1.0)))
    after = drift_told()
    for name in ("Probability of anything malignant", "Gate: none of the labels"):
        assert after[0][name] == before[0][name]
    assert after[1:] == before[1:]
    # What the picture is like can be seen by whoever sees it.
    assert (before[0]["Sharpness"][2], after[0]["Sharpness"][2]) == ("30", "31")
    save_reading(analysis=hidden, by=cast.owner, diagnosis="nevus")
    save_review(analysis=hidden, by=cast.owner, verdict="agree", expected_number=0)
    assert drift_told()[0]["Gate: none of the labels"][2] == "31"
    # Asked to read one of them anew, a colleague is not told of it either.
    request_second_reading(analysis=hidden, by=cast.owner, asked=cast.colleague)
    assert drift_told() == after


def test_of_few_pictures_no_median_is_told(cast: Cast) -> None:
    reference = reference_of({"sharpness": np.arange(100) / 100, "contrast": np.arange(100) / 100})
    factories.make_model_version(LabelSet.ISIC9, metrics={"reference": reference})
    now = timezone.now()
    store(cases(cast, 30, at=now, measures={"sharpness": 0.5}))
    store(cases(cast, 1, at=now, measures={"sharpness": 0.5, "contrast": 0.4}))
    (plot,) = figures_page(cast.owner, autumn(cast.clinic), now=timezone.now()).drift_plots
    rows = {name: rest for name, *rest in plot.table.rows}
    assert rows["Contrast of the lesion"][1:] == ["–", "1", "–", "too few to say"]


def test_a_release_without_a_reference_is_told_plainly(cast: Cast) -> None:
    factories.make_model_version(LabelSet.ISIC9)
    text = text_of(cast.client_of(cast.owner).get(PAGE))
    assert "this release carries no reference" in text
    assert "No image was sent in this period." in text
