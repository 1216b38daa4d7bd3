"""Days as people choose them: of the installation's own time."""

from __future__ import annotations

from datetime import date, datetime, time

from django.utils import timezone


def start_of(day: date) -> datetime:
    """Return the moment in which a day begins."""
    return timezone.make_aware(datetime.combine(day, time.min))
