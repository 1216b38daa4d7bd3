"""LiteRT: TensorFlow's own runtime for small networks, through XNNPACK."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.engines.base import Outputs, check_squares

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcore.bundle import Release


class LiteRTEngine:
    """One interpreter, resized only when the batch size changes, used by one thread at a time."""

    name = "litert"

    def __init__(self, release: Release, *, threads: int | None = None) -> None:
        """Load ``model.tflite`` of a verified release."""
        # The interpreter prints a line to the error stream at every start otherwise.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - a large library

        self._side = release.input_side
        self._lock = threading.Lock()
        self._interpreter: Any = Interpreter(
            model_path=str(release.file("model.tflite")),
            num_threads=threads or os.cpu_count() or 1,
        )
        self._runner: Any = self._interpreter.get_signature_runner()
        self._input = next(iter(self._runner.get_input_details()))

    def run(self, squares: NDArray[Any]) -> Outputs:
        """Run pictures through the network; see :class:`mlcore.engines.base.Engine`."""
        check_squares(squares, self._side)
        with self._lock:
            out = self._runner(**{self._input: squares.astype(np.float32)})
        return Outputs(out["logits"], out["evidence"], out["embedding"], out.get("pooled"))
