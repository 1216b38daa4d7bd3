"""NumPy computes on one core in the application: its lanes and threads share out the cores."""

import os
import subprocess
import sys

import pytest

_THREADS = """
import os, skinapp.{entry}, numpy as np
square = np.ones((700, 700))
square @ square
print(len(os.listdir("/proc/self/task")))
"""


@pytest.mark.parametrize("entry", ["celery", "wsgi"])
def test_a_large_product_starts_no_threads(entry: str) -> None:
    environment = {n: v for n, v in os.environ.items() if n != "OPENBLAS_NUM_THREADS"}
    told = subprocess.run(
        [sys.executable, "-c", _THREADS.format(entry=entry)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == "1"
