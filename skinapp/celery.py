"""The Celery application.

Messages are JSON nudges: the analysis row in PostgreSQL is the job, so a lost or doubled
message costs time at most, never a result. TensorFlow is not imported here nor by any task module:
a network loaded before the worker forks hangs the child.
"""

import os

from celery import Celery

from skinapp.liveness import WorkerHeartbeat

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.local")

app = Celery("skinapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["classifier"])
app.steps["worker"].add(WorkerHeartbeat)
