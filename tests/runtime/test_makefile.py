"""What the Makefile's recipes tell the programs that they start, whichever shell runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "API_FUZZ_SECONDS"
SHELLS = [shell for name in ("sh", "bash") if (shell := shutil.which(name))]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(("said", "seconds"), [((), "120"), ((f"{NAME}=600",), "600")])
def test_fuzzing_lasts_as_long_as_said(
    tmp_path: Path, shell: str, said: tuple[str, ...], seconds: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\necho "${NAME}"\n', encoding="utf-8")
    program.chmod(0o700)
    # Not what a make around the tests, or whoever runs them, has set.
    bare = {key: value for key, value in os.environ.items() if "MAKE" not in key and key != NAME}
    make = ["make", "--silent", "--old-file=venv-dev", f"SHELL={shell}", f"PY={program}"]
    done = subprocess.run(
        [*make, *said, "fuzz-api"], cwd=ROOT, env=bare, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [seconds]
