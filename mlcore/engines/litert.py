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
        self._interpreter.allocate_tensors()
        # The signature gives the outputs their names; running through it costs more.
        signature: Any = self._interpreter.get_signature_runner()
        self._places: dict[str, int] = {
            name: int(facts["index"]) for name, facts in signature.get_output_details().items()
        }

    def run(self, squares: NDArray[Any]) -> Outputs:
        """Run pictures through the network; see :class:`mlcore.engines.base.Engine`."""
        check_squares(squares, self._side)
        with self._lock:
            run_interpreter(self._interpreter, squares)
            out = {name: self._interpreter.get_tensor(i) for name, i in self._places.items()}
        return Outputs(out["logits"], out["evidence"], out["embedding"], out.get("pooled"))


def run_interpreter(interpreter: Any, squares: NDArray[Any]) -> None:
    """Run pictures through an interpreter; its tensors hold the outputs until the next run.

    Args:
        interpreter: of a network with one input, its tensors allocated.
        squares: uint8 (n, side, side, 3).
    """
    (facts,) = interpreter.get_input_details()
    if tuple(facts["shape"]) != squares.shape:
        interpreter.resize_tensor_input(facts["index"], squares.shape)
        interpreter.allocate_tensors()
    # Written where the network reads them: no copy as float32 in between.
    np.copyto(interpreter.tensor(facts["index"])(), squares, casting="unsafe")
    interpreter.invoke()
