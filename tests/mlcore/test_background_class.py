"""A background class: taught by pictures of no label, held out by diagnosis, left to the gate."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.bundle import ReleaseError, load_release
from mlcore.data.outside import other_skin_records
from mlcore.detectors import BACKGROUND, Features, score
from mlcore.drawing import NOT_SKIN_KINDS, draw_clinical, draw_not_skin
from mlcore.outside import GATE, LABELS, load_gate, threshold_of_labels
from mlcore.predictor import Predictor
from mlcore.train.recipes import RECIPES, Stage, recipe_named
from tests.mlcore.sets import make_folder_set, put

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.train.recipes import Recipe

SIZE = (96, 80)
DISEASES = ("lupus", "eczema", "psoriasis", "scabies", "lice", "warts")


@pytest.fixture(scope="module")
def root(clinical_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data root with two photographs of each of six other diseases, and what gates ask."""
    root = tmp_path_factory.mktemp("background")
    shutil.copytree(clinical_root, root, dirs_exist_ok=True)
    for number, disease in enumerate(DISEASES):
        for again in (1, 2):
            put(root / "outside" / "other_skin" / f"{disease}__{again}.jpg", 90 * number + again)
    folder = root / "outside" / "not_skin"
    folder.mkdir()
    for number, kind in enumerate(NOT_SKIN_KINDS * 2):
        draw_not_skin(kind, seed=number, size=SIZE).save(folder / f"n{number}.jpg")
    make_folder_set(root, "isic9", train=10, test=1)
    return root


@pytest.fixture
def recipe(tiny: Recipe, published: None, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = replace(
        tiny,
        name="background",
        stages=(Stage(1, 64),),
        epoch_size=32,
        outside_share=0.3,
        background_class=True,
    )
    monkeypatch.setitem(RECIPES, recipe.name, recipe)
    monkeypatch.setattr("mlcore.figures.bootstrap.REPLICATES", 20)
    return recipe


def test_the_last_output_is_weighed_against_all_labels_together() -> None:
    from mlcore.train.background import split_outputs

    outputs = np.array([[0.0, 0.0, 0.0, 0.0, 0.0, 2.0], [9.0, -9.0, -9.0, -9.0, -9.0, 0.0]])
    shipped, background = (
        recipe_named("clinical5_lite0"),
        recipe_named("clinical5_lite0_background"),
    )
    logits, odds = split_outputs(outputs, background)
    assert logits.shape == (2, 5)
    assert odds == pytest.approx([2 - np.log(5), -9], abs=1e-4)
    plain, nothing = split_outputs(outputs[:, :5], shipped)
    assert (plain.shape, nothing) == ((2, 5), None)


def test_pictures_without_a_label_teach_the_last_output() -> None:
    from mlcore.train.feeds import _targets
    from mlcore.train.pictures import UNLABELLED

    labels = np.array([0, UNLABELLED, 4])
    background = _targets(labels, recipe_named("clinical5_lite0_background"))
    np.testing.assert_array_equal(background, np.eye(6)[[0, 5, 4]])
    unsure = _targets(labels, recipe_named("clinical5_lite0_exposed"))
    np.testing.assert_allclose(unsure[1], np.full(5, 0.2))


def test_photographs_of_one_disease_are_dealt_together(root: Path) -> None:
    # The same photograph under another diagnosis joins the two.
    folder = root / "outside" / "other_skin"
    twin = folder / "nits__1.jpg"
    shutil.copy(folder / "lice__1.jpg", twin)
    try:
        groups = {r.path.stem: r.group for r in other_skin_records(root)}
    finally:
        twin.unlink()
    groups.setdefault("nits__1", groups["lice__1"])
    assert len(groups) == 2 * len(DISEASES) + 1
    assert len(set(groups.values())) == len(DISEASES)
    for disease in DISEASES:
        assert groups[f"{disease}__1"] == groups[f"{disease}__2"]


def test_the_threshold_leaves_own_pictures_alone_where_it_can() -> None:
    rng = np.random.default_rng(1)
    own, near, far = rng.normal(0, 1, 500), rng.normal(1, 1, 300), rng.normal(20, 1, 300)
    assert (own > threshold_of_labels(own, near)).mean() == pytest.approx(0.1, abs=0.005)
    apart = threshold_of_labels(own, far)
    assert own.max() < apart < far.min()


def test_every_disease_is_judged_by_a_network_that_never_saw_it(
    recipe: Recipe,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlcore.cli import main
    from mlcore.train.loop import train

    learnt: list[set[str]] = []

    def spy(recipe: Recipe, training: Any, *rest: Any, **named: Any) -> Any:
        learnt.append({r.name for r in training.records if r.source == "outside"})
        return train(recipe, training, *rest, **named)

    monkeypatch.setattr("mlcore.train.folds.train", spy)
    common = ["--recipe", recipe.name, "--data", str(root), "--runs", str(tmp_path / "runs")]
    releases = ["--releases", str(tmp_path / "releases"), "--version", "1.0.0", "--test-looks", "1"]
    assert main(["train", "--final", *common]) == 0
    capsys.readouterr()
    assert main(["release", "--final", *common, *releases]) == 2
    assert "run python -m mlcore crossvalidate --recipe background first" in capsys.readouterr().err
    assert not list((tmp_path / "releases").rglob("manifest.json"))

    assert main(["crossvalidate", *common, "--folds", "2"]) == 0
    assert "other skin diseases, 2 folds: no answer to" in capsys.readouterr().out
    everything = {r.name for r in other_skin_records(root)}
    held_out = [everything - seen for seen in learnt]
    assert sorted(name for names in held_out for name in names) == sorted(everything)
    for names in held_out:
        diseases = {name.split("__")[0] for name in names}
        assert not diseases & {name.split("__")[0] for name in everything - names}

    assert main(["release", "--final", *common, *releases]) == 0
    made = load_release(tmp_path / "releases" / "clinical5" / "1.0.0")
    _the_release_tells_what_its_folds_told(made.metrics()["figures"], tmp_path)
    _the_gate_reads_the_trained_networks_last_output(made.folder, recipe, tmp_path)
    card = made.file("card.md").read_text(encoding="utf-8")
    assert "(a background class)" in card
    assert "outlier exposure" not in card


def _the_release_tells_what_its_folds_told(figures: dict[str, Any], tmp_path: Path) -> None:
    folds = json.loads((tmp_path / "runs/background-1-folds/cross-validation.json").read_text())
    rows = {row["set"]: row for row in figures["outside"]}
    assert rows["other skin diseases, 2 folds"] == folds["outside"][1]
    assert rows["other skin diseases, 2 folds"]["images"] == 2 * len(DISEASES)
    assert rows["own pictures, 2 folds"]["images"] == 50
    assert "other skin diseases, held out half" not in rows
    assert "ordinary pictures, held out half" in rows


def _the_gate_reads_the_trained_networks_last_output(
    folder: Path, recipe: Recipe, tmp_path: Path
) -> None:
    from mlcore.imaging import to_array
    from mlcore.train.background import split_outputs
    from mlcore.train.feeds import predict_logits
    from mlcore.train.loop import load_trained

    release = load_release(folder)
    gate = load_gate(release.file(GATE), release.manifest["gate"]["checks"])
    (check,) = [check for check in gate.checks if check.name == LABELS]
    assert check.detector == BACKGROUND
    trained = load_trained(recipe, folder=tmp_path / "runs" / "background-1-final", seed=1)
    pictures = [draw_clinical("acne", seed=seed, size=SIZE) for seed in range(4)]
    squares = np.stack([to_array(picture, 64) for picture in pictures])
    odds = split_outputs(predict_logits(trained.model, squares), recipe)[1]
    assert odds is not None
    out = Predictor.load(folder, engine="litert").engine.run(squares)
    assert out.pooled is not None
    features = Features(out.logits, out.pooled, out.embedding)
    found = score(BACKGROUND, check.arrays, features)
    # Weights are rounded to half precision in between, and offsets added to the logits.
    np.testing.assert_allclose(found, odds, atol=0.05)
    np.testing.assert_allclose(check.margins(features), found - check.threshold)


def test_a_recipe_without_the_class_has_no_threshold() -> None:
    from mlcore.train.background import background_threshold
    from mlcore.train.folds import HeldOut

    held_out = HeldOut([], np.zeros(0, int), np.zeros((0, 5), np.float32), np.zeros(0, int))
    with pytest.raises(ValueError, match="recipe with a background class"):
        background_threshold(held_out)


def test_a_background_release_without_folds_is_refused_first(
    recipe: Recipe, tmp_path: Path
) -> None:
    from mlcore.release import make_release

    with pytest.raises(ReleaseError, match="comes from its recipe's cross-validation"):
        make_release(recipe, Any, {}, releases=tmp_path, version="1.0.0", seed=1, test_looks=1)  # type: ignore[arg-type] # it must not get as far as the run
