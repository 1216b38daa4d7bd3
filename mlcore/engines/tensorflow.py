"""TensorFlow: the Keras network itself, as a compiled function."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.engines.base import Outputs, check_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcore.bundle import Release


class TensorFlowEngine:
    """``model.keras`` loaded in safe mode and compiled once for any batch size."""

    name = "tensorflow"

    def __init__(self, release: Release) -> None:
        """Load the network. TensorFlow is imported here: never before a worker forks."""
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import keras  # noqa: PLC0415 - a large library
        import tensorflow as tf  # noqa: PLC0415 - a large library

        self._side = release.input_side
        self._lock = threading.Lock()
        model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
        shape = (None, self._side, self._side, 3)
        self._function: Any = tf.function(
            lambda pictures: model(pictures, training=False),
            input_signature=[tf.TensorSpec(shape, tf.float32)],
        )

    def run(self, squares: NDArray[Any]) -> Outputs:
        """Run pictures through the network; see :class:`mlcore.engines.base.Engine`."""
        check_squares(squares, self._side)
        with self._lock:
            out = self._function(squares.astype(np.float32))
        named = {name: np.asarray(values) for name, values in out.items()}
        return Outputs(named["logits"], named["evidence"], named["embedding"], named.get("pooled"))
