"""A released network for the other engines: ``python -m bench.conversions RELEASE FOLDER``.

Writes ``model.onnx`` (ONNX Runtime), ``openvino.xml`` (OpenVINO), ``float32.tflite``,
``dynamic.tflite`` and ``int8.tflite`` (other precisions), and ``facts.json``: the floating-point
operations of one picture, and how far each is from the Keras network on the release's own golden
pictures. What is not installed is left out, and ``facts.json`` says why.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.runners import EXACT, ROUNDED
from mlcore.bundle import load_release
from mlcore.drawing import draw_clinical, draw_dermoscopy
from mlcore.evaluate import softmax
from mlcore.imaging import network_source, to_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlcore.bundle import Release

    Logits = Callable[[NDArray[Any]], NDArray[Any]]

# Pictures that the all-integer network is fitted on, and that all are compared on.
_FITTED, _COMPARED = 48, 24


def main(folder: Path, made: Path) -> None:
    """Convert, and say how far each is from the original."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    # A processor is compared with, whatever else the machine has.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras  # noqa: PLC0415 - a large library
    import tensorflow as tf  # noqa: PLC0415 - a large library

    release = load_release(folder)
    made.mkdir(parents=True, exist_ok=True)
    model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
    shape = (None, release.input_side, release.input_side, 3)
    signature = [tf.TensorSpec(shape, tf.float32, name="pictures")]
    function = tf.function(
        lambda pictures: model(pictures, training=False), input_signature=signature
    )
    pictures = _pictures(release, _FITTED + _COMPARED)
    compared = pictures[_FITTED:]
    truth = np.asarray(function(compared)["logits"])
    facts: dict[str, Any] = {
        "operations": _operations(function, shape),
        "parity": {},
        "missing": {},
    }
    saved = made / "saved"
    model.export(saved, format="tf_saved_model", verbose=False)
    makers: dict[str, Callable[[], Logits]] = {
        "ONNX Runtime": partial(_onnx, function, signature, made),
        "OpenVINO": partial(_openvino, release, made, EXACT),
        ROUNDED: partial(_openvino, release, made, {}),
        "LiteRT": partial(_litert, release.file("model.tflite")),
        "LiteRT, weights of 32 bits in the file": partial(_tflite, saved, made, "float32", ()),
        "LiteRT, weights of 8 bits": partial(_tflite, saved, made, "dynamic", ()),
        "LiteRT, all in 8 bits": partial(_tflite, saved, made, "int8", pictures[:_FITTED]),
    }
    for name, make in makers.items():
        try:
            logits = make()
            facts["parity"][name] = _difference(
                truth, np.concatenate([logits(one[None]) for one in compared])
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            facts["missing"][name] = f"{type(error).__name__}: {error}"[:300]
    (made / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _pictures(release: Release, count: int) -> NDArray[Any]:
    """Return drawn pictures, float32 (n, side, side, 3), every label in turn."""
    draw: Any = draw_dermoscopy if release.labels.modality == "dermoscopy" else draw_clinical
    keys = release.labels.keys
    drawn = (
        network_source(draw(keys[seed % len(keys)], seed=7000 + seed, size=(320, 240)))
        for seed in range(count)
    )
    return np.stack([to_array(picture, release.input_side) for picture in drawn]).astype(np.float32)


def _operations(function: Any, shape: tuple[int | None, ...]) -> int:
    """Return the floating-point operations of one picture, a multiplication and a sum being two."""
    import tensorflow as tf  # noqa: PLC0415 - a large library
    from tensorflow.python.framework.convert_to_constants import (  # noqa: PLC0415 - the only way
        convert_variables_to_constants_v2,
    )

    graph = tf.function(
        function.python_function,
        input_signature=[tf.TensorSpec((1, *shape[1:]), tf.float32)],
    ).get_concrete_function()
    frozen = convert_variables_to_constants_v2(graph).graph
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    profile = tf.compat.v1.profiler.profile(frozen, options=options)
    return int(profile.total_float_ops)


def _onnx(function: Any, signature: list[Any], made: Path) -> Logits:
    import onnxruntime  # noqa: PLC0415 - it may be missing
    import tf2onnx  # noqa: PLC0415 - it may be missing

    path = made / "model.onnx"
    tf2onnx.convert.from_function(
        function, input_signature=signature, opset=17, output_path=str(path)
    )
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    return lambda pictures: np.asarray(session.run(["logits"], {taken.name: pictures})[0])


def _openvino(release: Release, made: Path, precision: dict[str, str]) -> Logits:
    import openvino  # noqa: PLC0415 - it may be missing

    onnx = made / "model.onnx"
    source = onnx if onnx.exists() else release.file("model.tflite")
    model = openvino.convert_model(str(source))
    openvino.save_model(model, made / "openvino.xml", compress_to_fp16=False)
    compiled = openvino.compile_model(model, "CPU", precision)
    labels = len(release.labels.keys)

    def logits(pictures: NDArray[Any]) -> NDArray[Any]:
        # The conversion renames the outputs, so the logits are known by their shape.
        return next(
            np.asarray(out)
            for out in compiled(pictures).values()
            if out.shape == (len(pictures), labels)
        )

    return logits


def _tflite(saved: Path, made: Path, name: str, fitted: Any) -> Logits:
    import tensorflow as tf  # noqa: PLC0415 - a large library

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    if name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if len(fitted):
        converter.representative_dataset = lambda: ([one[None]] for one in fitted)
    path = made / f"{name}.tflite"
    path.write_bytes(converter.convert())
    return _litert(path)


def _litert(path: Path) -> Logits:
    from ai_edge_litert.interpreter import Interpreter  # noqa: PLC0415 - a large library

    signature = Interpreter(model_path=str(path)).get_signature_runner()
    (taken,) = signature.get_input_details()
    return lambda pictures: np.asarray(signature(**{taken: pictures})["logits"])


def _difference(truth: NDArray[Any], found: NDArray[Any]) -> dict[str, float]:
    """Return the greatest difference of a probability, and the share of equal first answers."""
    ours, theirs = softmax(truth), softmax(found)
    same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
    return {"probability": float(np.abs(ours - theirs).max()), "same_first": float(same)}


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
