"""Celery tasks: nudges without content. The rows in PostgreSQL are the work."""

from classifier.tasks.analysis import run_analyses_task, sweep_analyses_task
from classifier.tasks.imports import run_imports_task
from classifier.tasks.maintenance import (
    check_integrity_task,
    clear_sessions_task,
    watch_drift_task,
)
from classifier.tasks.notices import send_notices_task
from classifier.tasks.records import finish_erasures_task, seal_audit_task, verify_audit_task
from classifier.tasks.reruns import run_reruns_task
from classifier.tasks.webhooks import forget_requests_task, send_webhooks_task

__all__ = [
    "check_integrity_task",
    "clear_sessions_task",
    "finish_erasures_task",
    "forget_requests_task",
    "run_analyses_task",
    "run_imports_task",
    "run_reruns_task",
    "seal_audit_task",
    "send_notices_task",
    "send_webhooks_task",
    "sweep_analyses_task",
    "verify_audit_task",
    "watch_drift_task",
]
