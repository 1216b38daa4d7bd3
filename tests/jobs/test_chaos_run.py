"""Damage is done to a whole installation, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.chaos.faults import KINDS
from classifier.models import LabelSet
from tests.jobs.tiny_releases import write_tiny_release

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(900)
def test_a_hundred_uploads_survive_every_kind_of_damage(
    tiny_networks: Path, tmp_path: Path
) -> None:
    for key in LabelSet.values:
        write_tiny_release(tmp_path / "releases", tiny_networks, key, "0.1.0")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench.chaos", "--images=100", "--times=1", "--seed=4"),
            f"--releases={tmp_path / 'releases'}",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stdout + done.stderr[-3000:]
    assert done.returncode == 0, said
    for kind in KINDS:
        assert f"| damage: {kind} | 1 times |" in done.stdout, said
    for line in ("| uploads accepted | 100 of 100 |", "| lost | 0 |", "| doubled | 0 |"):
        assert line in done.stdout, said
    assert "| faults | none |" in done.stdout, said
    assert "| messages delivered twice | 0 |" not in done.stdout, said
