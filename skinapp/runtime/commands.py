"""The programs that the supervisor keeps alive beside the servers."""

from __future__ import annotations

import sys


def supervised_commands(listener: int) -> dict[str, list[str]]:
    """Return the command of web, worker and beat, by name.

    Args:
        listener: file descriptor of the socket that web answers on.
    """
    python = sys.executable
    return {
        "web": [
            python,
            "-m",
            "gunicorn",
            "skinapp.wsgi:application",
            f"--bind=fd://{listener}",
            "--workers=2",
            "--threads=4",
            "--worker-class=skinapp.serving.Worker",
            "--preload",
            # It would lie in the person's home, one for all installations.
            "--no-control-socket",
            "--graceful-timeout=10",
            "--access-logfile=-",
            # No query string: a search may hold a patient's name.
            "--access-logformat=%(t)s %(m)s %(U)s %(s)s %(b)s %(M)sms",
        ],
        "worker": [
            python,
            "-m",
            "celery",
            "-A",
            "skinapp",
            "worker",
            "--queues=analysis,maintenance,reruns",
            "--loglevel=INFO",
            "--without-gossip",
            "--without-mingle",
        ],
        "beat": [
            python,
            "-m",
            "celery",
            "-A",
            "skinapp",
            "beat",
            "--pidfile=",
            "--loglevel=INFO",
        ],
    }
