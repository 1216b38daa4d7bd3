"""Whose time the benchmark of a visit counts."""

import subprocess
import sys

from bench.processor import spent


def test_a_busy_process_is_counted_under_its_part() -> None:
    before = spent().get("decoding and cutting copies", 0.0)
    burn = "import time\nwhile time.process_time() < 0.4: pass\nprint('done', flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", burn, "intake/child.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        taken = spent()["decoding and cutting copies"] - before
        process.communicate(b"\n")
    assert taken >= 350
