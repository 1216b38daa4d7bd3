"""One network in one process: ``python -m bench.runners NAME RELEASE FOLDER``.

The process says when it has judged its first picture, and then runs a batch for each line
``<batch> <times>`` on its input and answers with the milliseconds of every run. Each engine has a
process of its own, so that none pays for the threads or the memory of another.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcore.bundle import load_release

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mlcore.bundle import Release

    Run = Callable[[NDArray[Any]], Any]

# Where the parent writes the time at which it started this process.
STARTED = "BENCH_STARTED"
# A square of this side is multiplied to find what the cores can do at most.
_PEAK_SIDE = 1536
# OpenVINO as it comes: where the processor multiplies in 16 bits, it does so.
ROUNDED = "OpenVINO as it comes"
ENGINES = ("LiteRT", "ONNX Runtime", "OpenVINO", ROUNDED, "tf.function", "model.predict")
# Ways to run LiteRT that were tried, and what each is.
VARIANTS: dict[str, dict[str, Any]] = {
    "LiteRT, one thread": {"threads": 1},
    "LiteRT, twice as many threads as cores": {"threads": 2 * (os.cpu_count() or 1)},
    "LiteRT through a signature runner, as before": {"runner": True},
    "LiteRT without XNNPACK": {"plain": True},
    "LiteRT with XNNPACK's newest kernels": {"latest": True},
    "LiteRT's compiled model": {"compiled": 0},
    "LiteRT's compiled model, YNNPACK": {"compiled": 0, "ynnpack": True},
    "LiteRT, weights of 32 bits in the file": {"file": "float32"},
    "LiteRT, weights of 8 bits": {"file": "dynamic"},
    "LiteRT, all in 8 bits": {"file": "int8"},
}
# What OpenVINO is told, to compute in 32 bits as every other engine does.
EXACT = {"INFERENCE_PRECISION_HINT": "f32"}
PEAK = "peak"


def main(name: str, folder: Path, made: Path) -> None:
    """Load, judge one picture, and answer lines until the input ends."""
    release = load_release(folder)
    run = runner(name, release, made)
    side = release.input_side
    rng = np.random.default_rng(0)
    squares = rng.integers(0, 256, (32, side, side, 3), dtype=np.uint8)
    run(squares[:1])
    first = time.time() - float(os.environ.get(STARTED, "0"))
    print(json.dumps({"first_answer_s": round(first, 3), "mib": resident_mib()}), flush=True)
    for line in sys.stdin:
        batch, times = (int(word) for word in line.split())
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            run(squares[:batch])
            taken.append((time.perf_counter() - began) * 1e3)
        print(json.dumps({"ms": taken, "mib": resident_mib()}), flush=True)


def runner(name: str, release: Release, made: Path) -> Run:
    """Return what runs uint8 (n, side, side, 3) pictures.

    Args:
        name: one of ``ENGINES``, ``VARIANTS`` or ``PEAK``.
        release: whose network.
        made: the folder of :mod:`bench.conversions`.

    Raises:
        ModuleNotFoundError: the engine is not installed.
        ValueError: there is none of this name.
    """
    if name in VARIANTS:
        return _variant(release, made, **VARIANTS[name])
    makers: dict[str, Callable[[], Run]] = {
        "LiteRT": lambda: _ours(release, "litert"),
        "tf.function": lambda: _ours(release, "tensorflow"),
        "model.predict": lambda: _predict(release),
        "ONNX Runtime": lambda: _onnx_runtime(made),
        "OpenVINO": lambda: _openvino(made, EXACT),
        ROUNDED: lambda: _openvino(made, {}),
        PEAK: _peak,
    }
    if name not in makers:
        msg = f"There is no engine {name!r}."
        raise ValueError(msg)
    return makers[name]()


def _ours(release: Release, name: str) -> Run:
    from mlcore.engines import load_engine  # noqa: PLC0415 - only what is measured is imported

    return load_engine(release, name).run


def _predict(release: Release) -> Run:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras  # noqa: PLC0415 - a large library

    model = keras.saving.load_model(release.file("model.keras"), compile=False, safe_mode=True)
    return lambda squares: model.predict(squares.astype(np.float32), verbose=0)


def _onnx_runtime(made: Path) -> Run:
    import onnxruntime  # noqa: PLC0415 - only what is measured is imported

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = os.cpu_count() or 1
    session = onnxruntime.InferenceSession(
        made / "model.onnx", options, providers=["CPUExecutionProvider"]
    )
    (taken,) = session.get_inputs()
    return lambda squares: session.run(None, {taken.name: squares.astype(np.float32)})


def _openvino(made: Path, precision: dict[str, str]) -> Run:
    import openvino  # noqa: PLC0415 - only what is measured is imported

    options = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": os.cpu_count() or 1}
    compiled = openvino.Core().compile_model(made / "openvino.xml", "CPU", options | precision)
    request = compiled.create_infer_request()
    return lambda squares: request.infer({0: squares.astype(np.float32)})


def _variant(  # noqa: PLR0913 - each is one way
    release: Release,
    made: Path,
    *,
    threads: int | None = None,
    file: str = "",
    runner: bool = False,
    plain: bool = False,
    latest: bool = False,
    compiled: int | None = None,
    ynnpack: bool = False,
) -> Run:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    path = made / f"{file}.tflite" if file else release.file("model.tflite")
    if compiled is not None:
        return _compiled(path, ynnpack=ynnpack)
    from ai_edge_litert.interpreter import (  # noqa: PLC0415 - a large library
        Interpreter,
        OpResolverType,
    )

    from mlcore.engines.litert import run_interpreter  # noqa: PLC0415 - likewise

    kind = "BUILTIN_WITHOUT_DEFAULT_DELEGATES" if plain else "AUTO"
    interpreter = Interpreter(
        model_path=str(path),
        num_threads=threads or os.cpu_count() or 1,
        experimental_op_resolver_type=OpResolverType[kind],
        experimental_default_delegate_latest_features=latest,
    )
    interpreter.allocate_tensors()
    if not runner:
        return lambda squares: run_interpreter(interpreter, squares)
    signature = interpreter.get_signature_runner()
    (taken,) = signature.get_input_details()
    return lambda squares: signature(**{taken: squares.astype(np.float32)})


def _compiled(path: Path, *, ynnpack: bool) -> Run:
    from ai_edge_litert.compiled_model import (  # noqa: PLC0415 - a large library
        CompiledModel,
        CpuOptions,
        HardwareAccelerator,
        Options,
    )

    options = Options(
        hardware_accelerators=HardwareAccelerator.CPU,
        cpu_options=CpuOptions(num_threads=os.cpu_count() or 1, enable_ynnpack=ynnpack or None),
    )
    model = CompiledModel.from_file(str(path), options=options)
    inputs, outputs = model.create_input_buffers(0), model.create_output_buffers(0)

    def run(squares: NDArray[Any]) -> None:
        if len(squares) != 1:
            msg = "The compiled model has a batch of one."
            raise ValueError(msg)
        inputs[0].write(squares.astype(np.float32))
        model.run_by_index(0, inputs, outputs)

    return run


def _peak() -> Run:
    """Return a run that multiplies two squares, whatever the pictures: what the cores can do."""
    left, right = (
        np.random.default_rng(seed).random((_PEAK_SIDE, _PEAK_SIDE), dtype=np.float32)
        for seed in (1, 2)
    )
    out = np.empty_like(left)
    return lambda _squares: np.matmul(left, right, out=out)


def peak_operations() -> int:
    """Return how many floating-point operations one run of ``PEAK`` has."""
    return int(2 * _PEAK_SIDE**3)


def resident_mib() -> float:
    """Return this process's resident memory."""
    text = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
