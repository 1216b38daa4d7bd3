"""The Celery application.

Messages are JSON nudges: the analysis row in PostgreSQL is the job, so a lost or doubled
message costs time at most, never a result. TensorFlow is not imported here nor by any task module:
a network loaded before the worker forks hangs the child.
"""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import task_prerun
from django.db import close_old_connections

from skinapp.liveness import WorkerHeartbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.production")
# Django's checks would import every page, a third of a worker's memory before it forks. They run
# with ``migrate``, before any worker starts.
os.environ.setdefault("CELERY_SKIP_CHECKS", "true")

app = Celery("skinapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
# Otherwise Celery closes the connection to PostgreSQL after every task: signing in again and
# planning with a cold cache takes longer than storing a result. Django's own rule holds, see below.
app.conf["CELERY_DB_REUSE_MAX"] = sys.maxsize
app.autodiscover_tasks(["classifier"])
app.steps["worker"].add(WorkerHeartbeat)


@task_prerun.connect
def renew_connections(**_kwargs: Any) -> None:
    """Close connections that are broken or older than ``CONN_MAX_AGE``, as before a request."""
    close_old_connections()
