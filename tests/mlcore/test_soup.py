"""A network that is the mean of several runs."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.data.sets import Record
from mlcore.labels import label_set
from mlcore.train import folds as folds_module
from mlcore.train.loop import Pictures, _network, train
from mlcore.train.recipes import RECIPES, Augmentation, Recipe, Stage, UnknownRecipeError
from mlcore.train.run import RunError, folds_folder
from mlcore.train.soup import load_runs, members_of
from tests.mlcore.sets import put

if TYPE_CHECKING:
    from pathlib import Path

KEYS = label_set("clinical5").keys
SMALL = Recipe(
    name="both",
    label_set="clinical5",
    network="small_cnn",
    stages=(Stage(1, 64),),
    augmentation=Augmentation(flip_horizontal=True),
    batch=5,
    epoch_size=5,
    freeze_normalisation=False,
    members=("one", "two"),
)


@pytest.fixture
def soup(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """Return a recipe of two members that differ in their rate."""
    for name, rate in (("one", 1e-3), ("two", 3e-3)):
        member = replace(SMALL, name=name, learning_rate=rate, members=())
        monkeypatch.setitem(RECIPES, name, member)
    return SMALL


@pytest.fixture
def handful(tmp_path: Path) -> Any:
    records = []
    for number in range(10):
        path = put(tmp_path / "pictures" / f"{number}.jpg", number)
        label = KEYS[number % 5]
        records.append(Record(path, path.name, label, "clinical5", "train", path.name))
    return Pictures(records, KEYS)


def test_a_recipe_without_members_is_its_own() -> None:
    recipe = RECIPES["isic9_linear"]
    assert members_of(recipe) == (recipe,)
    assert [m.name for m in members_of(RECIPES["isic9_lite0_soup"])] == [
        "isic9_lite0_strata",
        "isic9_lite0_by_class",
    ]


def test_only_networks_of_one_shape_are_averaged(
    soup: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "two", replace(RECIPES["two"], network="lite0"))
    with pytest.raises(UnknownRecipeError, match="two cannot join both: another network"):
        members_of(soup)


def test_recipes_with_members_come_back_from_their_facts(soup: Recipe) -> None:
    assert Recipe.from_dict(soup.as_dict() | {"members": ["one", "two"]}) == soup
    older = soup.as_dict()
    del older["members"]
    assert Recipe.from_dict(older).members == ()


def test_weights_and_history_are_the_mean(soup: Recipe, handful: Any, tmp_path: Path) -> None:
    runs = [
        train(m, handful, handful, folder=tmp_path / m.name, seed=1, report=io.StringIO())
        for m in members_of(soup)
    ]
    mean = load_runs(soup, lambda member: tmp_path / member.name, seed=1)
    weights = [run.model.get_weights() for run in runs]
    assert any((a != b).any() for a, b in zip(*weights, strict=True))
    for first, second, both in zip(*weights, mean.model.get_weights(), strict=True):
        np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-5, atol=1e-6)
    assert len(mean.history) == len(runs[0].history)
    for row, one, two in zip(mean.history, runs[0].history, runs[1].history, strict=True):
        assert row["epoch"] == one["epoch"]
        assert row["train_loss"] == pytest.approx((one["train_loss"] + two["train_loss"]) / 2)


def test_a_member_that_is_missing_is_said(soup: Recipe, handful: Any, tmp_path: Path) -> None:
    train(RECIPES["one"], handful, handful, folder=tmp_path / "one", seed=1, report=io.StringIO())
    with pytest.raises(RunError, match=r"train --recipe two"):
        load_runs(soup, lambda member: tmp_path / member.name, seed=1)


def test_folds_of_a_soup_are_those_of_its_members_asked_as_one(
    soup: Recipe, handful: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = handful.records
    folds = [records[::2], records[1::2]]
    asked: list[Any] = []

    def logits(model: Any, squares: Any) -> Any:
        asked.append(model.get_weights()[0])
        return np.zeros((len(squares), 5), dtype=np.float32)

    trained: list[str] = []

    def instant(recipe: Recipe, *_: Any, folder: Path, **__: Any) -> Any:
        trained.append(f"{recipe.name}/{folder.name}")
        folder.mkdir(parents=True, exist_ok=True)
        model = _network(recipe, imagenet=False)
        fill = 1.0 if recipe.name == "one" else 3.0
        model.set_weights([np.full_like(w, fill) for w in model.get_weights()])
        return type("Run", (), {"model": model, "history": [], "best_epoch": 0})()

    monkeypatch.setattr(folds_module, "train", instant)
    monkeypatch.setattr(folds_module, "predict_logits", logits)
    monkeypatch.setattr(
        "mlcore.train.soup.load_trained",
        lambda recipe, *, folder, **_: instant(recipe, folder=folder),
    )
    folder = folds_folder(tmp_path, soup, 1)
    held = folds_module.run_folds(
        soup, handful, folds, folder=folder, outputs=tmp_path, seed=1, report=io.StringIO()
    )
    assert len(held.labels) == len(records)
    assert trained[:4] == ["one/fold0", "one/fold1", "two/fold0", "two/fold1"]
    # Four questions to the members' own networks, then one to the mean of each fold.
    assert [float(weights.mean()) for weights in asked] == [1, 1, 3, 3, 2, 2]
    assert (tmp_path / "one-1-folds" / "fold1" / "held-out.npz").exists()
