"""Makes the smallest networks that a release may hold, untrained: ``python -m … FOLDER``.

They run in a process of their own, because TensorFlow takes long to load and the suite must not
have it. What they answer is set by the bias of the last layer: the first melanoma, always.
"""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from mlcore.labels import LABEL_SETS

SIDE = 32
ANSWER = "melanoma"


def build(labels: tuple[str, ...]) -> keras.Model:
    """Return a network with the released networks' input and outputs.

    Args:
        labels: keys in their order; ``ANSWER`` gets the highest logit.
    """
    picture = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(picture)
    features = layers.Conv2D(4, 8, strides=8, activation="relu", name="features")(x)
    evidence = layers.Conv2D(len(labels), 1, use_bias=False, name="evidence")(features)
    embedding = layers.GlobalAveragePooling2D(name="embedding")(features)
    logits = layers.Dense(len(labels), name="logits")(embedding)
    model = keras.Model(
        picture, {"logits": logits, "evidence": evidence, "embedding": embedding}, name="tiny"
    )
    kernel = np.full((4, len(labels)), 0.01, np.float32)
    bias = np.linspace(0.0, -1.0, len(labels), dtype=np.float32)
    bias[labels.index(ANSWER)] = 3.0
    model.get_layer("logits").set_weights([kernel, bias])
    model.get_layer("evidence").set_weights([kernel[None, None]])
    return model


def main(folder: Path) -> None:
    """Write ``<label set>/model.keras`` and ``model.tflite`` for every label set."""
    for key, labels in LABEL_SETS.items():
        keras.utils.set_random_seed(7)
        model = build(labels.keys)
        target = folder / key
        target.mkdir(parents=True)
        model.save(target / "model.keras")
        saved = folder / f"saved-{key}"
        model.export(saved, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
        (target / "model.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
