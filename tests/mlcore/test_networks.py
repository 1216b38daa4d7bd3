"""EfficientNet-Lite in Keras against plain NumPy, and the network that a release is."""

from __future__ import annotations

import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from mlcore.networks.checkpoint import CheckpointError
from tests.mlcore.conftest import scramble
from tests.mlcore.pth import Storage, tensor, write

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.train.recipes import Recipe

Tensors = dict[str, np.ndarray[Any, Any]]
# Repeats, kernel, stride, expansion and filters of every stage: table 1 of the EfficientNet paper.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
WIDTH = DEPTH = 0.3


def _eights(filters: float) -> int:
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _blocks() -> list[tuple[int, int, int, int, int]]:
    """Return kernel, stride, expansion, filters in and out of every block of the tiny scale."""
    blocks, channels = [], 32
    for index, (repeats, kernel, stride, expansion, filters) in enumerate(STAGES):
        count = repeats if index in {0, 6} else math.ceil(repeats * DEPTH)
        for repeat in range(count):
            out = _eights(filters * WIDTH)
            blocks.append((kernel, stride if repeat == 0 else 1, expansion, channels, out))
            channels = out
    return blocks


def _published_tensors(seed: int) -> Tensors:
    """Return weights by chance, named and laid out as the published files have them."""
    rng = np.random.default_rng(seed)
    tensors: Tensors = {}

    def convolution(name: str, shape: tuple[int, ...]) -> None:
        scale = (2 / np.prod(shape[1:])) ** 0.5
        tensors[f"{name}.weight"] = rng.normal(size=shape) * scale

    def normalisation(name: str, channels: int) -> None:
        tensors[f"{name}.weight"] = rng.uniform(0.5, 1.5, channels)
        tensors[f"{name}.bias"] = rng.uniform(-0.5, 0.5, channels)
        tensors[f"{name}.running_mean"] = rng.uniform(-0.2, 0.2, channels)
        tensors[f"{name}.running_var"] = rng.uniform(0.5, 1.5, channels)
        tensors[f"{name}.num_batches_tracked"] = np.array(7)

    convolution("_conv_stem", (32, 3, 3, 3))
    normalisation("_bn0", 32)
    last = 32
    for number, (kernel, _stride, expansion, channels, filters) in enumerate(_blocks()):
        wide, name = channels * expansion, f"_blocks.{number}"
        if expansion > 1:
            convolution(f"{name}._expand_conv", (wide, channels, 1, 1))
            normalisation(f"{name}._bn0", wide)
        convolution(f"{name}._depthwise_conv", (wide, 1, kernel, kernel))
        normalisation(f"{name}._bn1", wide)
        convolution(f"{name}._project_conv", (filters, wide, 1, 1))
        normalisation(f"{name}._bn2", filters)
        last = filters
    convolution("_conv_head", (1280, last, 1, 1))
    normalisation("_bn1", 1280)
    convolution("_fc", (10, 1280))
    return {
        name: values.astype("<i8" if name.endswith("tracked") else "<f4")
        for name, values in tensors.items()
    }


def _convolve(x: Any, weight: Any, stride: int = 1) -> Any:
    """Convolve (h, w, channels) as TensorFlow does with padding "same"."""
    kernel = weight.shape[2]
    pads = []
    for n in x.shape[:2]:
        total = max((math.ceil(n / stride) - 1) * stride + kernel - n, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, [*pads, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel), axis=(0, 1))
    windows = windows[::stride, ::stride]
    if weight.shape[1] == 1 and weight.shape[0] == x.shape[2]:
        return np.einsum("hwcij,cij->hwc", windows, weight[:, 0])
    return np.einsum("hwcij,ocij->hwo", windows, weight, optimize=True)


def _reference(picture: Any, t: Tensors) -> Any:
    """Return the features of a picture, worked out from the published tensors."""

    def normalise(x: Any, name: str) -> Any:
        deviation = np.sqrt(t[f"{name}.running_var"] + 1e-3)
        x = (x - t[f"{name}.running_mean"]) / deviation
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def six(x: Any) -> Any:
        return np.clip(x, 0, 6)

    x = (picture.astype(np.float64) - 127) / 128
    x = six(normalise(_convolve(x, t["_conv_stem.weight"], 2), "_bn0"))
    for number, (_kernel, stride, expansion, channels, filters) in enumerate(_blocks()):
        name, shortcut = f"_blocks.{number}", x
        if expansion > 1:
            x = six(normalise(_convolve(x, t[f"{name}._expand_conv.weight"]), f"{name}._bn0"))
        x = _convolve(x, t[f"{name}._depthwise_conv.weight"], stride)
        x = six(normalise(x, f"{name}._bn1"))
        x = normalise(_convolve(x, t[f"{name}._project_conv.weight"]), f"{name}._bn2")
        if stride == 1 and channels == filters:
            x = x + shortcut
    return six(normalise(_convolve(x, t["_conv_head.weight"]), "_bn1"))


@pytest.fixture
def published(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Tensors, Path]:
    """Put a package with a weight file on the path, as the published ones are."""
    from mlcore.networks.efficientnet_lite import SCALES, Scale

    tensors = _published_tensors(1)
    storages = {str(n): values.reshape(-1) for n, values in enumerate(tensors.values())}
    named = {}
    for number, (name, values) in enumerate(tensors.items()):
        kind = "LongStorage" if values.dtype.kind == "i" else "FloatStorage"
        strides = tuple(s // values.itemsize for s in values.strides)
        named[name] = tensor(Storage(str(number), kind, values.size), 0, values.shape, strides)
    # Every test has a package of its own name, because Python keeps what it has imported.
    folder = tmp_path / f"weights_of_{tmp_path.name}"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    path, md5 = write(folder / "tiny.pth", named, storages)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.setitem(SCALES, tiny.network, Scale(WIDTH, DEPTH, folder.name, md5))
    return tensors, path


def test_the_port_computes_what_the_published_network_computes(
    published: tuple[Tensors, Path],
) -> None:
    from mlcore.networks.efficientnet_lite import build_backbone, load_imagenet_weights

    tensors, _path = published
    backbone = build_backbone("tiny")
    rest = load_imagenet_weights(backbone, "tiny")
    assert set(rest) == {"_fc.weight"}
    for side in (64, 96):
        picture = np.random.default_rng(side).integers(0, 256, (side, side, 3)).astype(np.uint8)
        ours = np.asarray(backbone(picture[None].astype(np.float32)))[0]
        expected = _reference(picture, tensors)
        assert ours.shape == expected.shape == (side // 32, side // 32, 1280)
        assert expected.std() > 0.05
        np.testing.assert_allclose(ours, expected, atol=2e-4)


def test_a_weight_file_that_was_changed_is_refused(published: tuple[Tensors, Path]) -> None:
    from mlcore.networks.efficientnet_lite import build_backbone, load_imagenet_weights

    _tensors, path = published
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(CheckpointError, match=r"tiny\.pth is not the published file"):
        load_imagenet_weights(build_backbone("tiny"), "tiny")


@pytest.mark.parametrize(("scale", "weights"), [("lite0", 3_371_008), ("lite2", 4_811_072)])
def test_the_published_scales_have_the_published_number_of_weights(
    scale: str, weights: int
) -> None:
    from mlcore.networks.efficientnet_lite import build_backbone

    backbone = build_backbone(scale)
    assert sum(int(np.prod(w.shape)) for w in backbone.trainable_weights) == weights


def test_unknown_networks_are_refused() -> None:
    from mlcore.networks.classifier import UnknownNetworkError, build_trainable
    from mlcore.networks.efficientnet_lite import build_backbone

    with pytest.raises(UnknownNetworkError, match=r"no network 'resnet'; there are lite0"):
        build_trainable("resnet", 5, dropout=0, freeze_normalisation=True)
    with pytest.raises(ValueError, match="Unknown scale"):
        build_backbone("lite9")


@pytest.fixture(scope="module")
def pair(tiny: Recipe) -> tuple[Any, Any]:
    """Return a network as it is trained, and the same as it is released."""
    from mlcore.networks.classifier import build_released, build_trainable

    trained = build_trainable("tiny", 5, dropout=0.2, freeze_normalisation=False, imagenet=False)
    scramble(trained, 5)
    return trained, build_released(trained, "tiny", 96)


@pytest.fixture(scope="module")
def pictures() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).integers(0, 256, (3, 96, 96, 3)).astype(np.float32)


def _outputs(model: Any, pictures: Any) -> dict[str, Any]:
    return {name: np.asarray(values) for name, values in model(pictures, training=False).items()}


def test_folding_normalisation_changes_no_answer(pair: tuple[Any, Any], pictures: Any) -> None:
    trained, released = pair
    logits = np.asarray(trained(pictures, training=False))
    assert logits.std() > 0.1
    np.testing.assert_allclose(_outputs(released, pictures)["logits"], logits, atol=2e-4)
    assert not any("_bn" in layer.name for layer in released.layers)


def test_one_forward_pass_gives_answer_map_and_embedding(
    pair: tuple[Any, Any], pictures: Any
) -> None:
    import keras

    _trained, released = pair
    out = _outputs(released, pictures)
    kernel, bias = released.get_layer("logits").get_weights()
    assert out["evidence"].shape == (3, 3, 3, 5)
    assert out["embedding"].shape == (3, 1280)
    # The gate's features come out of the same pass: the mean of what the last convolution reads.
    before = keras.Model(released.input, released.get_layer("head_conv").input)(pictures)
    np.testing.assert_allclose(out["pooled"], np.asarray(before).mean((1, 2)), atol=1e-4)
    # The map's mean is the logit without its bias: the map explains this very answer.
    np.testing.assert_allclose(out["evidence"].mean((1, 2)) + bias, out["logits"], atol=1e-4)
    np.testing.assert_allclose(out["embedding"] @ kernel + bias, out["logits"], atol=1e-4)


def test_other_weights_give_another_map(pair: tuple[Any, Any], pictures: Any) -> None:
    # The sanity check of Adebayo et al. (NeurIPS 2018): a map that random weights leave as it is
    # shows the picture, not the network.
    from mlcore.networks.classifier import build_released

    trained, released = pair
    before = _outputs(released, pictures)["evidence"]
    kept = trained.get_weights()
    scramble(trained, 6)
    after = _outputs(build_released(trained, "tiny", 96), pictures)["evidence"]
    trained.set_weights(kept)
    for label in range(5):
        one, other = before[..., label].ravel(), after[..., label].ravel()
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.8


def test_rounding_leaves_only_numbers_that_half_precision_has(
    pair: tuple[Any, Any], pictures: Any
) -> None:
    from mlcore.networks.classifier import build_released, round_to_half

    trained, released = pair
    rounded = build_released(trained, "tiny", 96)
    round_to_half(rounded)
    for weight in rounded.get_weights():
        np.testing.assert_array_equal(weight, weight.astype(np.float16).astype(np.float32))
    close = _outputs(rounded, pictures)["logits"] - _outputs(released, pictures)["logits"]
    assert 0 < np.abs(close).max() < 0.02


def test_normalisation_is_frozen_where_the_recipe_says_so(tiny: Recipe) -> None:
    from keras import layers

    from mlcore.networks.classifier import build_trainable

    for frozen in (True, False):
        model = build_trainable("tiny", 5, dropout=0, freeze_normalisation=frozen, imagenet=False)
        found = [la.trainable for la in model.layers if isinstance(la, layers.BatchNormalization)]
        assert found
        assert set(found) == {not frozen}


def test_the_prototypes_network_is_the_prototypes() -> None:
    from mlcore.networks.classifier import build_trainable

    model = build_trainable("small_cnn", 9, dropout=0, freeze_normalisation=False)
    assert model.input_shape == (None, 64, 64, 3)
    assert model.output_shape == (None, 9)
    kinds = [type(layer).__name__ for layer in model.layers]
    assert kinds.count("Conv2D") == kinds.count("MaxPooling2D") == 3
    assert kinds.count("Dense") == 2
