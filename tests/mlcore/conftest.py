"""A tiny network of the released kind, a drawn image set, and a release made of both."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.bundle import Release, load_release
from mlcore.cli import main
from mlcore.drawing import draw_clinical
from mlcore.labels import label_set
from mlcore.train.recipes import RECIPES, Augmentation, Recipe, Stage
from mlcore.train.run import Run
from tests.mlcore.audited import clean_set

if TYPE_CHECKING:
    from collections.abc import Iterator

# TensorFlow writes about the processor at every start otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

TINY = Recipe(
    name="tiny_clinical5",
    label_set="clinical5",
    network="tiny",
    stages=(Stage(1, 64),),
    augmentation=Augmentation(flip_horizontal=True),
)


@pytest.fixture(scope="session")
def tiny() -> Iterator[Recipe]:
    """Let there be a recipe with a scale of EfficientNet-Lite that is quick to build."""
    from mlcore.networks.efficientnet_lite import SCALES, Scale

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(SCALES, "tiny", Scale(0.3, 0.3, "no_such_package", "0" * 32))
        patched.setitem(RECIPES, TINY.name, TINY)
        yield TINY


@pytest.fixture(scope="session")
def clinical_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data root with a drawn clinical5: ten pictures of a label, two of them tested."""
    root = tmp_path_factory.mktemp("sets")
    for label in label_set("clinical5").labels:
        for number in range(12):
            split = "test" if number < 2 else "train"
            path = root / "clinical5" / split / label.folder / f"drawn-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_clinical(label.key, seed=number, size=(96, 80)).save(path)
    return root


def scramble(model: Any, seed: int) -> None:
    """Give a network weights by chance, normalisation too, of a size that keeps signals alive."""
    from keras import layers

    def fan_in(layer: Any, shape: tuple[int, ...]) -> int:
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        return int(np.prod(shape[:2] if depthwise else shape[:-1]))

    rng = np.random.default_rng(seed)
    for layer in model.layers:
        shapes = [weight.shape for weight in layer.get_weights()]
        if isinstance(layer, layers.BatchNormalization):
            low, high = (0.5, -0.5, -0.2, 0.5), (1.5, 0.5, 0.2, 1.5)
            layer.set_weights(
                [rng.uniform(a, b, s) for a, b, s in zip(low, high, shapes, strict=True)]
            )
        elif shapes:
            layer.set_weights(
                [
                    rng.normal(size=shape) * (2 / fan_in(layer, shape)) ** 0.5
                    if len(shape) > 1
                    else rng.normal(size=shape) * 0.3
                    for shape in shapes
                ]
            )


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tiny network have the same scrambled weights whenever it is built."""
    from mlcore.networks import classifier

    monkeypatch.setattr(
        classifier, "load_imagenet_weights", lambda model, _name: scramble(model, 3)
    )


@pytest.fixture(scope="session")
def finished_runs(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of runs with a finished one of the tiny recipe, of untrained weights."""
    from mlcore.networks.classifier import build_trainable

    runs = tmp_path_factory.mktemp("runs")
    model = build_trainable("tiny", 5, dropout=0.2, freeze_normalisation=True, imagenet=False)
    scramble(model, 3)
    model.compile(optimizer="sgd", loss="mse")
    figures = {"score": 0.5, "balanced_accuracy": 0.5, "train_loss": 1.0}
    Run.open(runs / f"{tiny.name}-1", tiny, 1).note(model, figures, side=64, optimised=model)
    return runs


@pytest.fixture(scope="session")
def made(
    tiny: Recipe,
    finished_runs: Path,
    clinical_root: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Release:
    """Return a release made by the command line from beginning to end."""
    releases = tmp_path_factory.mktemp("releases")
    arguments = ["release", "--recipe", tiny.name, "--runs", finished_runs, "--data", clinical_root]
    arguments += ["--releases", releases, "--version", "1.0.0", "--test-looks", "3"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mlcore.figures.bootstrap.REPLICATES", 100)
        assert main([str(argument) for argument in arguments]) == 0
    return load_release(releases / "clinical5" / "1.0.0")


@pytest.fixture(scope="session")
def clean_image_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with nothing wrong; never write into it."""
    return clean_set(tmp_path_factory.mktemp("clean"))


@pytest.fixture
def image_set(clean_image_set: Path, tmp_path: Path) -> Path:
    """Return a copy of the clean folder, to plant a fault in."""
    return shutil.copytree(clean_image_set, tmp_path / "set")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give time to what imports TensorFlow: on a busy machine that alone may take a minute."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(900))
