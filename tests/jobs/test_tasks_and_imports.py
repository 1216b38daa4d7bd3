"""What every task must be, and what must not be in the memory of which process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from classifier.tasks import (
    check_integrity_task,
    clear_sessions_task,
    run_analyses_task,
    sweep_analyses_task,
    watch_drift_task,
)
from classifier.tasks.analysis import worker_name
from skinapp.celery import app

if TYPE_CHECKING:
    from celery import Task

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = {
    "classifier.tasks.webhooks.forget_requests_task",
    "classifier.tasks.webhooks.send_webhooks_task",
}
COMPARISONS = "classifier.tasks.reruns.run_reruns_task"
OLD_IMAGES = "classifier.tasks.imports.run_imports_task"
NOTICES = "classifier.tasks.notices.send_notices_task"
RECORDS = {
    "classifier.tasks.records.finish_erasures_task",
    "classifier.tasks.records.seal_audit_task",
    "classifier.tasks.records.verify_audit_task",
}
HEAVY = ("tensorflow", "keras", "ai_edge_litert", "torch")


def own_tasks() -> list[Task[..., None]]:
    """Return the tasks of this application."""
    app.loader.import_default_modules()
    return [task for name, task in app.tasks.items() if not name.startswith("celery.")]


def test_the_tasks_are_known() -> None:
    assert {task.name for task in own_tasks()} == {
        run_analyses_task.name,
        sweep_analyses_task.name,
        clear_sessions_task.name,
        check_integrity_task.name,
        watch_drift_task.name,
        OLD_IMAGES,
        NOTICES,
        COMPARISONS,
        *PROGRAMS,
        *RECORDS,
    }


def test_every_task_has_limits_that_fit_together() -> None:
    transport = app.conf.broker_transport_options
    for task in own_tasks():
        soft, hard = task.soft_time_limit, task.time_limit
        assert soft is not None
        assert hard is not None
        assert 0 < soft < hard
        # Else a running task would be delivered a second time.
        assert hard < transport["visibility_timeout"]
        assert task.acks_late
        assert task.reject_on_worker_lost
        assert task.ignore_result
    # Else a row would be taken from a worker that may still be at work on it.
    assert run_analyses_task.time_limit <= django_settings.ANALYSIS_LEASE_SECONDS


def test_nothing_but_json_is_sent_or_taken() -> None:
    assert app.conf.task_serializer == app.conf.result_serializer == "json"
    assert set(app.conf.accept_content) == {"json"}
    assert app.conf.worker_prefetch_multiplier == 1


def test_beat_sends_known_tasks_to_queues_that_workers_read() -> None:
    names = {entry["task"] for entry in app.conf.beat_schedule.values()}
    assert names == {
        sweep_analyses_task.name,
        clear_sessions_task.name,
        check_integrity_task.name,
        watch_drift_task.name,
        OLD_IMAGES,
        NOTICES,
        COMPARISONS,
        *PROGRAMS,
        *RECORDS,
    }
    queues = {app.amqp.router.route({}, task.name)["queue"].name for task in own_tasks()}
    assert queues == {"analysis", "maintenance", "reruns"}


def test_a_worker_can_be_told_from_another() -> None:
    assert worker_name().endswith(f":{os.getpid()}")


@pytest.mark.django_db
def test_expired_sessions_are_cleared() -> None:
    gone, stays = SessionStore(), SessionStore()
    for session in (gone, stays):
        session["x"] = 1
        session.save()
    Session.objects.filter(pk=gone.session_key).update(expire_date=timezone.now())
    clear_sessions_task.run()
    assert list(Session.objects.values_list("pk", flat=True)) == [stays.session_key]


# What each process has imported by the time it serves, forks or ticks.
PROCESSES = {
    "web": """
import skinapp.wsgi, classifier.admin
from django.test import Client
from django.urls import get_resolver
assert get_resolver().url_patterns
assert Client().get("/healthz").status_code == 200
""",
    "worker before it forks": """
import django
django.setup()
from skinapp.celery import app
app.loader.import_default_modules()
app.finalize()
assert "classifier.tasks.analysis.run_analyses_task" in app.tasks
import sys
# Nor the pages and what only they need.
assert not {"skinapp.urls", "ninja", "pydicom", "typst"} & set(sys.modules)
""",
    "beat": """
from skinapp.celery import app
assert app.conf.beat_schedule
""",
}


@pytest.mark.parametrize("process", PROCESSES)
def test_no_network_is_loaded(process: str) -> None:
    report = f"import sys, json; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", PROCESSES[process] + report],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "skinapp.settings.test"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []
