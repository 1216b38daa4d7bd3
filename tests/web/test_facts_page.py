"""The facts page of a network: card, plots and tables, for releases of every age."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from classifier.models import LabelSet, ModelVersion
from classifier.services.model_versions import register_release
from classifier.templatetags.skinapp import together
from mlcore.bundle import RELEASES, load_release
from mlcore.evaluate import evaluate, operating_point, slices
from mlcore.figures import bootstrap
from tests import factories
from tests.web.test_markup import faults_of

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings as SettingsWrapper

    from tests.conftest import Cast

CARD = (
    "Summary",
    "Mechanism",
    "Use",
    "Not for",
    "Data",
    "Figures",
    "Weak spots",
    "Warnings",
    "Other information",
)


def _address(version: ModelVersion) -> str:
    return reverse("model_version_detail", args=[version.pk])


def _page(cast: Cast, version: ModelVersion) -> str:
    answer = cast.client_of(cast.owner).get(_address(version))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.fixture(scope="module")
def new_figures() -> dict[str, Any]:
    """Return what ``metrics.json`` of a newer release holds."""
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 9, 90)
    chances = (rng.dirichlet(np.ones(9), 90) + np.eye(9)[truth]) / 2
    answers = ("isic9", truth, chances, [str(n) for n in range(90)])
    facts = [{"sex": "female", "site": "<b>back</b>"}] * 90
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap, "REPLICATES", 20)
        split = evaluate(*answers)
        split["operating_point"] = operating_point(*answers, answer=0.4, triage=0.2)
        parts = slices(*answers, facts, triage=0.2, measured_on="validation folds")
    figures = dict.fromkeys(("validation", "calibration", "cross_validation", "test"), split)
    history = [{"epoch": 0, "side": 64, "loss": 1.0, "balanced_accuracy": 0.4, "score": 0.4}]
    whole = {"figures": figures | {"slices": parts}, "history": history}
    return dict(json.loads(json.dumps(whole)))


@pytest.mark.parametrize("key", list(LabelSet))
def test_the_first_releases_have_a_page(cast: Cast, key: LabelSet) -> None:
    version, _ = register_release(folder=RELEASES / key / "1.0.0")
    page = _page(cast, version)
    assert faults_of(page) == []
    for title in CARD:
        assert f">{title}</h2>" in page
    assert (
        page.count("<svg xmlns")
        == page.count("<figure")
        == page.count('<details class="disclosure"')
    )
    for title in ("Confusion matrix, test images", "Training curves"):
        assert f"<h3>{title}</h3>" in page
    accuracy = load_release(RELEASES / key / "1.0.0").metrics()["figures"]["test"]["figures"][
        "accuracy"
    ]
    low, high = accuracy["interval"]
    shown = f"<td>{accuracy['value']:.3f} ({low:.3f} to {high:.3f})</td>"
    # An interval stays on one line.
    assert shown in page.replace("\N{NO-BREAK SPACE}", " ")
    assert shown not in page
    assert version.artefact_sha256 in page
    assert version.manifest["files"]["model.tflite"]["sha256"] in page


def test_a_newer_release_shows_everything_that_was_measured(
    cast: Cast, new_figures: dict[str, Any]
) -> None:
    manifest = load_release(RELEASES / "isic9" / "1.0.0").manifest
    version = factories.make_model_version(manifest=manifest, metrics=new_figures)
    page = _page(cast, version)
    assert faults_of(page) == []
    for title in (
        "Confusion matrix, test images",
        "Reliability, cross-validation",
        "ROC curves, test images",
        "Risk and coverage, cross-validation",
        "By sex, age, body site and source, validation folds",
        "Training curves",
    ):
        assert f"<h3>{title}</h3>" in page
    # What a release calls its parts is text, in the drawing too.
    assert "<b>back</b>" not in page
    assert page.count("&lt;b&gt;back&lt;/b&gt;") >= 3
    assert "too few to say" in page
    # The version that the page is about names itself, not the manifest it was made with here.
    assert f"isic9 {version.version}" in page


def test_a_page_carries_no_script_and_no_style_of_its_own(
    cast: Cast, new_figures: dict[str, Any]
) -> None:
    page = _page(cast, factories.make_model_version(metrics=new_figures))
    main = page[page.index("<main") : page.index("</main>")]
    for forbidden in ("<script", "<style", " style=", " onload=", "javascript:"):
        assert forbidden not in main


def test_everybody_who_may_sign_in_sees_what_a_network_is(cast: Cast) -> None:
    version, _ = register_release(folder=RELEASES / "clinical5" / "1.0.0")
    seen = (cast.owner, cast.read_only, cast.administrator, cast.stranger, cast.superuser)
    for person in seen:
        assert cast.client_of(person).get(_address(version)).status_code == 200
    nobody = Client().get(_address(version))
    assert nobody.status_code == 302
    assert cast.client_of(cast.deactivated).get(_address(version)).status_code == 302
    assert cast.client_of(cast.owner).post(_address(version)).status_code == 405


def test_figures_that_were_not_registered_are_read_from_the_release(
    cast: Cast, settings: SettingsWrapper, tmp_path: Path
) -> None:
    settings.MLCORE_RELEASES = tmp_path
    folder = shutil.copytree(RELEASES / "clinical5" / "1.0.0", tmp_path / "clinical5" / "1.0.0")
    version, _ = register_release(folder=folder)
    ModelVersion.objects.filter(pk=version.pk).update(metrics={})
    assert "<h3>Confusion matrix, test images</h3>" in _page(cast, version)
    (folder / "metrics.json").write_text("{}", encoding="utf-8")
    changed = _page(cast, version)
    assert "its files are missing or were changed" in changed
    assert "No figures were recorded with this release." in changed
    assert str(tmp_path) not in changed
    shutil.rmtree(folder)
    assert escape("its files are missing or were changed") in _page(cast, version)
    assert faults_of(changed) == []


def test_a_page_of_figures_is_drawn_quickly(new_figures: dict[str, Any]) -> None:
    import time

    from mlcore.labels import label_set
    from mlcore.plots import draw_plots

    start = time.process_time()
    draw_plots(new_figures["figures"], new_figures["history"], labels=label_set("isic9"))
    # About 15 ms on a free core.
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("0.5 (0.4 to 0.6)", "0.5 (0.4~to~0.6)"),
        ("50 % (40 to 60 %) of them", "50~% (40~to~60~%) of them"),
        ("Actinic keratosis (too few to say)", "Actinic keratosis (too few to say)"),
    ],
)
def test_a_figure_stays_together(words: str, shown: str) -> None:
    assert together(words) == shown.replace("~", "\N{NO-BREAK SPACE}")
