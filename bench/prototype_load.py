"""The prototype under gunicorn, and requests to it."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from skinapp.runtime.children import free_port
from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

_START_SECONDS = 120.0


class PrototypeError(RuntimeError):
    """The prototype cannot be measured; the message says why."""


def measure_prototype(pictures: Sequence[bytes], *, senders: int) -> dict[str, Any]:
    """Send every picture once, a few at a time.

    Returns:
        ``per_s``, and ``p50`` and ``p95`` in milliseconds.

    Raises:
        PrototypeError: Flask is not installed, or it does not come up.
    """
    if find_spec("flask") is None:
        msg = "flask is not installed: make venv-bench"
        raise PrototypeError(msg)
    port = free_port()
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "bench.prototype:app", f"--bind=127.0.0.1:{port}"),
            # As many processes as cores: each loads TensorFlow and the network.
            *(f"--workers={os.cpu_count() or 1}", "--timeout=120", "--no-control-socket"),
        ],
        cwd=ROOT,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _await(process, port, pictures[0])
        # Each process compiles at its first requests.
        for _ in range(6):
            _send(port, pictures[0])
        began = time.perf_counter()
        with ThreadPoolExecutor(senders) as pool:
            taken = list(pool.map(lambda picture: _send(port, picture), pictures))
        seconds = time.perf_counter() - began
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    low, high = np.percentile(taken, [50, 95])
    return {
        "per_s": round(len(pictures) / seconds, 2),
        "p50": round(float(low), 1),
        "p95": round(float(high), 1),
    }


def _await(process: subprocess.Popen[bytes], port: int, picture: bytes) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _send(port, picture)
        except OSError:
            time.sleep(0.5)
        else:
            return
    msg = "The prototype does not come up."
    raise PrototypeError(msg)


def _send(port: int, picture: bytes) -> float:
    """Return the milliseconds until the answer.

    Raises:
        OSError: nobody listens.
        PrototypeError: it answered with an error.
    """
    boundary = uuid.uuid4().hex
    head = (
        f"--{boundary}\r\nContent-Disposition: form-data; "
        'name="image"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    body = head.encode() + picture + f"\r\n--{boundary}--\r\n".encode()
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        kind = f"multipart/form-data; boundary={boundary}"
        connection.request("POST", "/predict", body, {"Content-Type": kind})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != http.client.OK:
        msg = f"The prototype answered {answer.status}."
        raise PrototypeError(msg)
    return (time.perf_counter() - began) * 1e3
