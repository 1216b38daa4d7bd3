"""Judging past cases by another network, in a queue of its own that nothing waits behind."""

from celery import shared_task
from django.db import transaction

from classifier.services.analyses import nudge
from classifier.services.rerun_work import go_on

# Shorter than the interval of the schedule, so that one worker at a time has the work. Each task
# leaves off at once where something fresh waits.
_SLICE_SECONDS = 4.0


# Below the visibility timeout, like every limit: a longer task would be delivered a second time.
@shared_task(name="classifier.tasks.reruns.run_reruns_task", time_limit=120, soft_time_limit=90)
def run_reruns_task() -> None:
    """Go on with the oldest comparison for a while; the schedule sends the next message."""
    go_on(seconds=_SLICE_SECONDS)


def wake() -> None:
    """Nudge a worker once the rows are committed; without a broker the schedule finds them."""
    transaction.on_commit(lambda: nudge(run_reruns_task), robust=True)
