"""Classifiers: a backbone, global average pooling and one dense layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from mlcore.networks.efficientnet_lite import (
    SCALES,
    build_backbone,
    fold_weights,
    load_imagenet_weights,
)


class UnknownNetworkError(ValueError):
    """No network has this name."""


def build_trainable(
    network: str,
    labels: int,
    *,
    dropout: float,
    freeze_normalisation: bool,
    imagenet: bool = True,
    side: int | None = None,
) -> keras.Model:
    """Return a network from pictures to logits.

    Args:
        network: ``lite0``, ``lite1``, ``lite2`` or ``small_cnn``.
        labels: number of outputs.
        dropout: share of the embedding that is dropped in training.
        freeze_normalisation: keep the statistics and scales of batch normalisation as they are.
        imagenet: start from ImageNet weights, which needs the weight package.
        side: pixels of the square input; None lets every call choose (not for ``small_cnn``).

    Raises:
        UnknownNetworkError: there is no such network.
    """
    if network == "small_cnn":
        return _small_cnn(labels)
    if network not in SCALES:
        msg = f"There is no network {network!r}; there are {', '.join(SCALES)} and small_cnn."
        raise UnknownNetworkError(msg)
    backbone = build_backbone(network, side=side)
    if imagenet:
        load_imagenet_weights(backbone, network)
    if freeze_normalisation:
        for layer in backbone.layers:
            if isinstance(layer, layers.BatchNormalization):
                layer.trainable = False
    embedding = layers.GlobalAveragePooling2D(name="embedding")(backbone.output)
    x = layers.Dropout(dropout, name="dropout")(embedding)
    logits = layers.Dense(labels, name="logits")(x)
    return keras.Model(backbone.input, logits, name=f"{network}_classifier")


def build_released(trained: keras.Model, network: str, side: int) -> keras.Model:
    """Return the network as it is released: one forward pass gives everything.

    The dense layer after average pooling is linear, so applying it at every position of the last
    feature map gives class evidence whose mean is the logit without bias: the class activation
    map of Zhou et al. (CVPR 2016, arXiv:1512.04150) at no extra cost. Batch normalisation is folded
    into the convolutions, so that rounding (:func:`round_to_half`) meets the very numbers that
    the serving file keeps.

    Args:
        trained: from :func:`build_trainable`, of a network with a backbone.
        network: its name.
        side: pixels of the square input.

    Returns:
        A model from (N, side, side, 3) RGB in 0..255 to a dict of ``logits`` (N, labels),
        ``evidence`` (N, h, w, labels), ``embedding`` (N, 1280) and ``pooled`` (N, c): the mean over
        positions of the last block's linear output, which the gates of :mod:`mlcore.outside` read.
    """
    kernel, bias = trained.get_layer("logits").get_weights()
    backbone = build_backbone(network, side=side, folded=True)
    fold_weights(trained, backbone)
    features = backbone.output
    evidence = layers.Conv2D(kernel.shape[1], 1, use_bias=False, name="evidence")(features)
    embedding = layers.GlobalAveragePooling2D(name="embedding")(features)
    logits = layers.Dense(kernel.shape[1], name="logits")(embedding)
    # Before the last expansion and its ReLU6 nothing is cut off yet: what is not skin stands out
    # more clearly here than in the embedding.
    pooled = layers.GlobalAveragePooling2D(name="pooled")(backbone.get_layer("head_conv").input)
    model = keras.Model(
        backbone.input,
        {"logits": logits, "evidence": evidence, "embedding": embedding, "pooled": pooled},
        name=f"{network}_released",
    )
    model.get_layer("evidence").set_weights([kernel[None, None]])
    model.get_layer("logits").set_weights([kernel, bias])
    return model


def round_to_half(model: keras.Model) -> None:
    """Round every weight to the nearest float16 value, in place.

    The serving file keeps weights in half precision; rounding the Keras weights too makes the two
    the same network, not an approximation of each other.
    """
    for layer in model.layers:
        rounded: list[Any] = [
            weight.astype(np.float16).astype(np.float32) for weight in layer.get_weights()
        ]
        if rounded:
            layer.set_weights(rounded)


def _small_cnn(labels: int) -> keras.Model:
    """Return the small network of the public student projects, at 64 by 64."""
    image = keras.Input((64, 64, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(image)
    for number, filters in enumerate((32, 32, 64)):
        x = layers.Conv2D(filters, 3, activation="relu", name=f"conv{number}")(x)
        x = layers.MaxPooling2D(name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(128, activation="relu", name="dense")(x)
    return keras.Model(image, layers.Dense(labels, name="logits")(x), name="small_cnn")
