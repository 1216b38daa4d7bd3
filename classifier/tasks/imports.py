"""Working through imports of old images, a few seconds at a time."""

import logging

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from classifier.exchange.import_work import go_on
from classifier.exchange.importing import forget_old
from classifier.models import ImportRun

logger = logging.getLogger(__name__)

# Short, because the same worker answers what clinicians wait for.
_SLICE_SECONDS = 5.0


# Below the visibility timeout, like every limit: a longer task would be delivered a second time.
@shared_task(name="classifier.tasks.imports.run_imports_task", time_limit=140, soft_time_limit=120)
def run_imports_task() -> None:
    """Go on with the oldest import that is under way; what is left gets a message of its own.

    One that cannot be gone on with keeps no other waiting: the next one has its turn.
    """
    forget_old()
    busy = ImportRun.objects.busy().exclude(archive="")
    failed = []
    for run in list(busy.select_related("clinic", "created_by")):
        try:
            done = go_on(run, seconds=_SLICE_SECONDS)
        except SoftTimeLimitExceeded:
            raise
        except Exception:  # whatever it is, another clinic's import must go on
            logger.exception("import %s cannot go on now; it is tried again", run.pk)
            failed.append(run.pk)
            continue
        if not done or busy.exclude(pk__in=failed).exists():
            run_imports_task.apply_async(expires=600)
        return


def wake() -> None:
    """Nudge a worker once the rows are committed; without a broker the schedule finds them."""
    transaction.on_commit(_publish, robust=True)


def _publish() -> None:
    try:
        run_imports_task.apply_async(retry=False, expires=600)
    except (OperationalError, RedisError, OSError):
        logger.warning("no worker could be woken for an import; the schedule will")
