"""``make run`` as a person sees it: it comes up, mends itself, and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from skinapp.runtime.children import free_port
from skinapp.runtime.leftovers import find_leftovers
from skinapp.runtime.supervisor import ROOT
from tests.deploy.hospital import Browser
from tests.runtime.installations import (
    Installation,
    bare_environment,
    birth_of,
    descendants,
    still_running,
    wait_until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Each of these tests starts a whole installation or shares one.
pytestmark = pytest.mark.xdist_group("installation")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Return an installation that runs, in a folder whose path has a space."""
    base = tmp_path_factory.mktemp("run")
    for place in (base, *base.parents[:3]):
        if place.stat().st_uid == os.geteuid():
            place.chmod(place.stat().st_mode | 0o011)
    installation = Installation(base / "my var", free_port())
    installation.start()
    yield installation
    installation.stop()


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:  # noqa: S310 - our own address
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return 0


def works(installation: Installation) -> bool:
    """Say whether pages, database and broker answer, whatever else is missing."""
    try:
        with urllib.request.urlopen(f"{installation.address}/readyz", timeout=10) as answer:  # noqa: S310 - our own address
            parts = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            parts = json.load(error) if error.code == 503 else {}
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return False
    return [parts.get(name) for name in ("Database", "Broker")] == ["ok", "ok"]


def manage(installation: Installation, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "skinapp.runtime", "manage"),
            *(f"--var={installation.folder}", *arguments),
        ],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


def run_again(installation: Installation, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "skinapp.runtime", "run"),
            *(f"--var={installation.folder}", *more),
        ],
        cwd=ROOT,
        env=bare_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_says_where_it_is_and_how_to_sign_in(running: Installation) -> None:
    password = (running.folder / "demo.password").read_text(encoding="utf-8")
    assert f"http://127.0.0.1:{running.port}" in running.output
    assert "clinician@demo.example" in running.output
    assert password in running.output
    assert len(password) >= 12


def test_the_demo_password_opens_the_demo_account(running: Installation) -> None:
    password = (running.folder / "demo.password").read_text(encoding="utf-8")
    answer = manage(
        running,
        "shell",
        "--no-imports",
        "-c",
        "from classifier.models import User; "
        f"print(User.objects.get(email='clinician@demo.example').check_password({password!r}))",
    )
    assert answer.stdout.strip() == "True", answer.stderr


def test_secrets_are_readable_by_their_owner_only(running: Installation) -> None:
    for name in ("demo.password", "postgres.password", "servers.json", "secret_key"):
        assert (running.folder / name).stat().st_mode & 0o077 == 0, name
    assert (running.folder / "valkey" / "valkey.conf").stat().st_mode & 0o077 == 0


def test_no_password_stands_on_a_command_line(running: Installation) -> None:
    addresses = json.loads((running.folder / "servers.json").read_text(encoding="utf-8"))
    demo = (running.folder / "demo.password").read_text(encoding="utf-8")
    secrets = [addresses["DATABASE_URL"].split(":")[2].split("@")[0], demo]
    secrets.append(addresses["REDIS_URL"].split(":")[2].split("@")[0])
    for pid in descendants(running.pid):
        command = subprocess.run(
            ["cat", f"/proc/{pid}/cmdline"], capture_output=True, check=False
        ).stdout
        for secret in secrets:
            assert secret.encode() not in command


def test_a_second_start_says_that_it_runs_already(running: Installation) -> None:
    answer = run_again(running)
    assert answer.returncode == 1
    assert answer.stderr.startswith("skinapp: Skinapp runs already in this folder")
    assert str(running.pid) in answer.stderr
    assert running.address in answer.stderr
    wait_until(lambda: status_of(f"{running.address}/healthz") == 200, what="it still answers")


def test_a_port_out_of_range_is_refused(running: Installation) -> None:
    answer = run_again(running, "--port=70000")
    assert answer.returncode == 2
    assert "'70000' is not a port" in answer.stderr


@pytest.mark.parametrize("name", ["web", "worker", "beat", "valkey", "postgres"])
def test_a_killed_process_is_started_again(running: Installation, name: str) -> None:
    wait_until(lambda: running.member(name) is not None, what=f"{name} runs")
    before = running.member(name)
    assert before is not None
    family = descendants(before)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: running.member(name) not in {None, before}, what=f"{name} runs again")
    assert f"skinapp: {name} ended with status -9" in running.output
    wait_until(lambda: works(running), what="database, broker and pages answer")
    wait_until(lambda: not still_running(family), what=f"the old {name} left no child behind")


def test_people_read_that_nothing_was_saved_while_postgresql_is_away(
    running: Installation,
) -> None:
    """PostgreSQL is stopped as an operator does it, and the supervisor starts it no sooner."""
    browser = Browser(running.port, host="127.0.0.1", proxied=False)
    password = (running.folder / "demo.password").read_text(encoding="utf-8")
    fields = {"login": "clinician@demo.example", "password": password}
    assert browser.post("/accounts/login/", "/accounts/login/", fields).status == 302
    form = "/analyses/new/"
    token = {"csrfmiddlewaretoken": browser.token(form)}
    log = running.folder / "logs" / "web.log"
    said = len(log.read_bytes())
    postgres = running.member("postgres")
    assert postgres is not None
    family = {postgres: birth_of(postgres)}
    os.kill(running.pid, signal.SIGSTOP)
    try:
        os.kill(postgres, signal.SIGINT)
        wait_until(lambda: not still_running(family), what="PostgreSQL has ended")
        asked = {"HX-Request": "true"}
        pages = {
            "a page": browser.get("/"),
            "a form": browser.send(form, token),
            "a script's upload": browser.send(form, token, {"Accept": "application/json"}),
            "a poll": browser.get("/?tab=waiting", asked),
        }
        for what, page in pages.items():
            assert page.status == 503, what
            seconds = "10" if what == "a poll" else "60"
            assert page.headers["Retry-After"] == seconds
            assert "Try again in a minute." in page.text
            sent = "It is not certain that what you just sent was saved" in page.text
            assert sent == (what in {"a form", "a script's upload"}), what
            assert "default-src 'none'" in page.headers["Content-Security-Policy"]
            # The log tells why, once.
            lines = log.read_bytes()[said:].decode().splitlines()
            own = [line for line in lines if f" {page.headers['X-Reference']} " in line]
            assert len(own) == 1, own
        assert pages["a page"].headers["X-Reference"] in pages["a page"].text
        assert json.loads(pages["a script's upload"].text)["errors"]["images"]
        assert "<" not in pages["a poll"].text
        assert status_of(f"{running.address}/healthz") == 200
        assert status_of(f"{running.address}/readyz") == 503
    finally:
        os.kill(running.pid, signal.SIGCONT)
    wait_until(lambda: works(running), what="database, broker and pages answer")
    assert browser.get("/").status == 200


def test_it_comes_back_after_a_kill_of_everything(running: Installation) -> None:
    password = (running.folder / "demo.password").read_text(encoding="utf-8")
    for pid in descendants(running.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    running.kill()
    # What a clean stop would have removed lies there still, and nobody is misled by it.
    assert (running.folder / "servers.json").is_file()
    assert "nothing runs here" in manage(running, "check").stderr
    running.start()
    assert running.address == f"http://127.0.0.1:{running.port}"
    assert password in running.output
    assert "making the demo clinic" not in running.output
    wait_until(lambda: works(running), what="database, broker and pages answer")


def test_a_killed_supervisor_leaves_the_next_one_its_port(running: Installation) -> None:
    family = descendants(running.pid)
    running.kill()
    # At once, while the children are still ending.
    running.start()
    assert running.address == f"http://127.0.0.1:{running.port}"
    assert still_running(family) == []


def test_two_side_by_side_and_a_closed_window(running: Installation, tmp_path: Path) -> None:
    """Another clone that wants the same port takes the next; closing its window ends it all."""
    tmp_path.chmod(0o711)
    other = Installation(tmp_path / "var", running.port)
    terminal, end = os.openpty()
    other.start(stdout=end)
    os.close(end)
    said = os.read(terminal, 4096).decode()
    assert f"port {running.port} is taken; using " in said
    assert other.address != running.address
    assert status_of(f"{other.address}/healthz") == 200
    family = descendants(other.pid)
    assert family
    # No signal tells of it, nobody reads the farewell, and it must end all the same.
    os.close(terminal)
    assert other.process is not None
    assert other.process.wait(60) == 0
    assert still_running(family) == []
    assert find_leftovers(other.folder) == {}
    assert not (other.folder / "servers.json").exists()
    wait_until(lambda: status_of(f"{running.address}/healthz") == 200, what="it still answers")


def test_a_failing_start_leaves_nothing(tmp_path: Path) -> None:
    """A database that does not answer is said in a sentence, and the broker does not stay."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "-m", "skinapp.runtime", "run", f"--var={tmp_path / 'var'}"],
            cwd=ROOT,
            env=bare_environment() | {"DATABASE_URL": f"postgres://nobody@127.0.0.1:{port}/none"},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert answer.returncode == 1
    assert "the database could not be made ready" in answer.stderr
    assert "Connection refused" in answer.stderr
    assert "Traceback" not in answer.stdout
    assert find_leftovers(tmp_path / "var") == {}
