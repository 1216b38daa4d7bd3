"""Celery tasks: nudges without content. The rows in PostgreSQL are the work."""

from classifier.tasks.analysis import run_analyses_task, sweep_analyses_task
from classifier.tasks.maintenance import clear_sessions_task

__all__ = ["clear_sessions_task", "run_analyses_task", "sweep_analyses_task"]
