"""``python -m skinapp.runtime exec``: a command against throw-away servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from skinapp.runtime.children import NOBODY
from skinapp.runtime.supervisor import ROOT
from tests.runtime.installations import bare_environment, descendants, still_running, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

EXECUTE = (sys.executable, "-m", "skinapp.runtime", "exec")
# Root may also be an ordinary user, where that user can read the checkout and run this Python.
USERS = [os.geteuid()]
NEEDED = (ROOT, *ROOT.parents, *Path(sys.executable).resolve().parents)
if os.geteuid() == 0 and all(place.stat().st_mode & 0o001 for place in NEEDED):
    USERS.append(NOBODY)


def execute(*command: str, user: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*EXECUTE, "--", *command],
        cwd=ROOT,
        env=bare_environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        user=user if user != os.geteuid() else None,
        timeout=120,
    )


def start_endless(tmp_path: Path, program: Sequence[str]) -> subprocess.Popen[bytes]:
    mark = tmp_path / "started"
    process = subprocess.Popen(
        [*EXECUTE, "--", sys.executable, "-c", *program, str(mark)],
        cwd=ROOT,
        env=bare_environment() | {"TMPDIR": str(tmp_path)},
        start_new_session=True,
    )
    wait_until(mark.exists, what="the command runs")
    return process


@pytest.mark.parametrize("user", USERS)
def test_the_command_gets_servers_and_its_status_is_passed_on(user: int) -> None:
    script = (
        "import os, psycopg2, redis, sys; psycopg2.connect(os.environ['DATABASE_URL']).close(); "
        "redis.Redis.from_url(os.environ['REDIS_URL']).ping(); print(os.getuid()); sys.exit(7)"
    )
    answer = execute(sys.executable, "-c", script, user=user)
    assert answer.returncode == 7, answer.stderr
    assert answer.stdout == f"{user}\n"


def test_without_a_command_it_says_what_to_name() -> None:
    answer = execute()
    assert answer.returncode == 2
    assert answer.stderr == "skinapp: name a command: exec -- COMMAND\n"


@pytest.mark.parametrize(
    ("sign", "whole_group", "status"),
    [
        # From a terminal: to everybody in the group.
        (signal.SIGINT, True, 9),
        (signal.SIGTERM, False, 128 + signal.SIGTERM),
    ],
)
def test_stopping_it_stops_the_command_and_the_servers(
    tmp_path: Path, sign: int, whole_group: bool, status: int
) -> None:
    tmp_path.chmod(0o711)
    script = (
        "import pathlib, sys, time\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "try:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    sys.exit(9)"
    )
    process = start_endless(tmp_path, [script])
    family = descendants(process.pid)
    (os.killpg if whole_group else os.kill)(process.pid, sign)
    assert process.wait(60) == status
    assert still_running(family) == []
    assert list(Path(tmp_path).glob("skinapp-*")) == []
