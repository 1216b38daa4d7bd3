"""A run on disk: killed at any moment, it goes on from a whole epoch."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.train.recipes import RECIPES, Recipe, UnknownRecipeError, recipe_named
from mlcore.train.run import Run, RunError

if TYPE_CHECKING:
    from collections.abc import Callable

RECIPE = recipe_named("clinical5_lite0")


class _Variable:
    def __init__(self) -> None:
        self.value = np.zeros(3)

    def assign(self, value: Any) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return self.value


class _Model:
    """Keeps one number where a network keeps its weights, and one in its optimiser."""

    trainable_variables = ()

    def __init__(self) -> None:
        self.weight = 0.0
        self.optimizer = SimpleNamespace(
            variables=[_Variable()], build=lambda _variables: None, use_ema=False
        )

    def become(self, number: float) -> None:
        self.weight = number
        self.optimizer.variables[0].assign(np.full(3, number))

    def save_weights(self, path: Path) -> None:
        path.write_text(str(self.weight))

    def load_weights(self, path: Path) -> None:
        self.weight = float(path.read_text())


def _epochs(run: Run, scores: list[float], side: int = 160) -> _Model:
    model = _Model()
    for score in scores:
        model.become(run.epoch + 1)
        run.note(model, {"score": score}, side=side, optimised=model)
    return model


def _restored(run: Run) -> tuple[float, float]:
    model: Any = _Model()
    run.restore(model, model)
    return model.weight, float(model.optimizer.variables[0].value[0])


def test_a_new_run_starts_at_nothing(tmp_path: Path) -> None:
    run = Run.open(tmp_path / "run", RECIPE, 1)
    assert (run.epoch, run.best, run.history) == (0, 0, [])
    assert _restored(run) == (0, 0)


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first = Run.open(tmp_path, RECIPE, 1)
    _epochs(first, [0.1, 0.5, 0.3])
    again = Run.open(tmp_path, RECIPE, 1)
    assert (again.epoch, again.best, again.history) == (3, 1, first.history)
    assert [row["epoch"] for row in again.history] == [0, 1, 2]
    assert _restored(again) == (3, 3)
    fresh: Any = _Model()
    again.restore(fresh, None)
    assert (fresh.weight, fresh.optimizer.variables[0].value[0]) == (3, 0)
    best: Any = _Model()
    again.load_best(best)
    assert best.weight == 2


def test_the_best_epoch_is_one_of_the_last_input_size(tmp_path: Path) -> None:
    run = Run.open(tmp_path, RECIPE, 1)
    _epochs(run, [0.9, 0.8], side=160)
    assert run.best == 0
    _epochs(run, [0.2, 0.4, 0.4, 0.3], side=224)
    assert run.best == 4
    best: Any = _Model()
    run.load_best(best)
    assert best.weight == 5


@pytest.mark.parametrize("other", ["seed", "recipe"])
def test_a_folder_is_never_continued_with_something_else(tmp_path: Path, other: str) -> None:
    _epochs(Run.open(tmp_path, RECIPE, 1), [0.5])
    recipe = replace(RECIPE, learning_rate=1.0) if other == "recipe" else RECIPE
    with pytest.raises(RunError, match="another recipe or seed"):
        Run.open(tmp_path, recipe, 2 if other == "seed" else 1)


def test_a_run_of_an_older_version_goes_on(tmp_path: Path) -> None:
    _epochs(Run.open(tmp_path, RECIPE, 1), [0.5])
    path = tmp_path / "checkpoint" / "state.json"
    state = json.loads(path.read_text())
    recipe = state["facts"]["recipe"]
    # What older versions did not know is what they did.
    for name in ("stratum_power", "outside_share", "even_labels"):
        recipe.pop(name)
    for stage in recipe["stages"]:
        stage.pop("frozen")
    path.write_text(json.dumps(state))
    assert Run.open(tmp_path, RECIPE, 1).epoch == 1
    recipe["from_the_future"] = 1
    path.write_text(json.dumps(state))
    with pytest.raises(RunError, match="another recipe or seed"):
        Run.open(tmp_path, RECIPE, 1)


@pytest.mark.parametrize("text", ["", "{", '{"facts": {}}', '{"facts": {"recipe": 1}}'])
def test_a_damaged_state_is_said(tmp_path: Path, text: str) -> None:
    _epochs(Run.open(tmp_path, RECIPE, 1), [0.5])
    (tmp_path / "checkpoint" / "state.json").write_text(text)
    with pytest.raises(RunError, match=r"state\.json is damaged; remove"):
        Run.open(tmp_path, RECIPE, 1)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"no archive at all"])
def test_a_damaged_checkpoint_is_said(tmp_path: Path, damage: bytes) -> None:
    run = Run.open(tmp_path, RECIPE, 1)
    _epochs(run, [0.5])
    (tmp_path / "checkpoint" / "optimiser.npz").write_bytes(damage)
    with pytest.raises(RunError, match=r"is damaged .*remove"):
        _restored(run)


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no readable weights"):
        Run.open(tmp_path, RECIPE, 1).load_best(_Model())


class _KilledError(BaseException):
    """Stands for a SIGKILL."""


def _dies_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the process die before its ``step``-th change of the file system."""
    left = [step]

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise _KilledError
            return change(*arguments, **named)

        return wrapped

    for name in ("mkdir", "rename", "write_text"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    for name in ("rmtree", "copyfile"):
        monkeypatch.setattr(shutil, name, counted(getattr(shutil, name)))
    monkeypatch.setattr(np, "savez", counted(np.savez))


@pytest.mark.parametrize("step", range(12))
def test_a_run_killed_at_any_step_goes_on_from_a_whole_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    run = Run.open(tmp_path, RECIPE, 1)
    _epochs(run, [0.5, 0.4])
    with monkeypatch.context() as patched:
        _dies_at(step, patched)
        try:
            _epochs(run, [0.6])
            finished = True
        except _KilledError:
            finished = False
    again = Run.open(tmp_path, RECIPE, 1)
    assert again.epoch == len(again.history)
    assert again.epoch == 3 if finished else again.epoch in {2, 3}
    # Weights, optimiser and history are of the same epoch.
    assert _restored(again) == (again.epoch, again.epoch)
    _epochs(again, [0.7])
    assert Run.open(tmp_path, RECIPE, 1).epoch == again.epoch


def test_the_steps_above_cover_the_whole_of_writing_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.open(tmp_path, RECIPE, 1)
    _epochs(run, [0.5, 0.4])
    with monkeypatch.context() as patched:
        _dies_at(11, patched)
        _epochs(run, [0.6])


def test_recipes_are_named_after_themselves_and_can_be_written_down() -> None:
    assert all(name == recipe.name for name, recipe in RECIPES.items())
    assert RECIPE.as_dict()["stages"][-1]["side"] == RECIPE.side == 224
    with pytest.raises(UnknownRecipeError, match="no recipe 'best'; there are clinical5_linear, "):
        recipe_named("best")


def test_the_prototypes_recipe_is_the_prototypes() -> None:
    for key in ("isic9", "clinical5"):
        recipe = recipe_named(f"small_cnn_{key}")
        assert (recipe.network, recipe.side, recipe.class_power) == ("small_cnn", 64, 1.0)
        assert recipe.augmentation.shear
        assert recipe.augmentation.zoom
        assert recipe.augmentation.flip_horizontal
        assert not recipe.augmentation.rotation


def test_facts_of_an_older_version_count_only_where_nothing_is_lost() -> None:
    recipe = recipe_named("isic9_lite0")
    facts = recipe.as_dict()
    facts.pop("averaging")
    assert Recipe.from_dict(facts | {"members": []}) == recipe
    with pytest.raises(UnknownRecipeError, match="members"):
        Recipe.from_dict(facts | {"members": ["one", "other"]})
    with pytest.raises(UnknownRecipeError, match="no recipe that this version knows"):
        Recipe.from_dict(facts | {"magic": 0})
