"""The containers' health checks, and the signs of life that they look at."""

from __future__ import annotations

import http.server
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from skinapp import liveness, probe
from skinapp.celery import app
from skinapp.runtime.children import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.conf import LazySettings


class Page(http.server.BaseHTTPRequestHandler):
    """A web server that knows one host name, as Django does."""

    def do_GET(self) -> None:
        """Answer 200 to the right question, 400 to any other."""
        right = self.headers["Host"] == "skin.example" and self.path == "/healthz"
        self.send_response(200 if right else 400)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_web_is_asked_under_its_own_name(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setenv("ALLOWED_HOSTS", "skin.example, other.example")
    assert probe.main(["web"]) == 0
    monkeypatch.setenv("ALLOWED_HOSTS", ".skin.example")
    assert probe.main(["web"]) == 0


def test_a_wrong_answer_or_none_is_a_fault(
    port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PORT", str(port))
    monkeypatch.setenv("ALLOWED_HOSTS", "elsewhere.example")
    assert probe.main(["web"]) == 1
    assert capsys.readouterr().err == "the web server answers 400\n"
    monkeypatch.setenv("PORT", str(free_port()))
    assert probe.main(["web"]) == 1
    assert capsys.readouterr().err.startswith("the web server does not answer: ")


def test_a_heartbeat_is_young_old_or_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "heartbeat"
    monkeypatch.setenv("HEARTBEAT_FILE", str(path))
    assert probe.main(["heartbeat"]) == 1
    assert capsys.readouterr().err == f"there is no {path}: the process has not started\n"
    path.touch()
    assert probe.main(["heartbeat"]) == 0
    old = time.time() - 90
    os.utime(path, (old, old))
    assert probe.main(["heartbeat"]) == 1
    assert capsys.readouterr().err == f"{path} was last touched 90 s ago\n"


def test_an_unknown_question_is_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    assert probe.main([]) == 1
    assert capsys.readouterr().err == "ask for web or heartbeat\n"


def test_beat_touches_its_file_at_every_look(tmp_path: Path, settings: LazySettings) -> None:
    settings.HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    scheduler = liveness.BeatScheduler(app, lazy=True)
    assert scheduler.tick() > 0
    assert (tmp_path / "heartbeat").exists()


def test_without_a_setting_nothing_is_written(
    tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_FILE = ""
    monkeypatch.chdir(tmp_path)
    liveness.beat_once()
    assert list(tmp_path.iterdir()) == []


def test_the_worker_touches_its_file_until_it_stops(tmp_path: Path, settings: LazySettings) -> None:
    class Timer:
        """Keeps what it is asked to call."""

        def __init__(self) -> None:
            self.asked: list[tuple[float, Any]] = []
            self.cancelled = False

        def call_repeatedly(self, seconds: float, call: Any) -> Timer:
            self.asked.append((seconds, call))
            return self

        def cancel(self) -> None:
            self.cancelled = True

    class Worker:
        """What a step sees of the worker."""

        timer = Timer()

    settings.HEARTBEAT_FILE = str(tmp_path / "heartbeat")
    step = liveness.WorkerHeartbeat(Worker)
    step.start(Worker)
    assert (tmp_path / "heartbeat").exists()
    assert Worker.timer.asked == [(liveness.EVERY_SECONDS, liveness.beat_once)]
    step.stop(Worker)
    assert Worker.timer.cancelled
    step.stop(Worker)
    assert liveness.WorkerHeartbeat in app.steps["worker"]
