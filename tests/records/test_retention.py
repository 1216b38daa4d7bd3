"""Whoever is attended to is not erased for being away, whatever kind of row tells of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.contrib.admin.models import LogEntry
from django.db.models import DateTimeField
from django.utils import timezone

from classifier.models import (
    Clinic,
    Disagreement,
    Patient,
    Prediction,
    RerunRow,
    SentOnce,
    Transition,
    WebhookDelivery,
)
from classifier.services import erasure
from classifier.services.retention import VISITS, overdue
from tests.jobs.test_integrity import run_sql
from tests.records.test_erasure import whole_story

if TYPE_CHECKING:
    from django.db.models import Model

    from tests.conftest import Cast

# What the application does by itself, follows from a visit, or is no more than writing.
NO_VISIT = {
    *(Disagreement, LogEntry, Prediction, RerunRow, SentOnce, Transition),
    WebhookDelivery,
}


def test_each_kind_of_visit_keeps_the_patient(cast: Cast) -> None:
    whole_story(cast, cast.patient)
    Clinic.objects.filter(pk=cast.clinic.pk).update(retention_years=10)
    kinds: list[tuple[type[Model], str, str]] = [(Patient, "", "created_at"), *VISITS]
    for model, _way, column in kinds:
        table = model._meta.db_table
        run_sql(
            f"ALTER TABLE {table} DISABLE TRIGGER USER",
            f"UPDATE {table} SET {column} = now() - interval '20 years'",  # noqa: S608 - our own names
        )
    assert [found.patient for found in overdue()] == [cast.patient]
    lately = timezone.now() - timedelta(days=365)
    for model, _way, column in kinds:
        rows = model._default_manager.all()
        long_ago = {column: rows.values_list(column, flat=True)[0]}
        assert rows.update(**{column: lately}) >= 1
        assert not list(overdue()), model
        rows.update(**long_ago)
    assert [found.last_visit.year for found in overdue()] == [timezone.now().year - 20]


def test_a_new_table_about_patients_is_judged_to_be_a_visit_or_none(cast: Cast) -> None:
    """A new dated model must be named in ``VISITS`` or, with a reason, here."""
    dated = {
        rows.model
        for rows in erasure.rows_of(cast.patient)
        if any(isinstance(field, DateTimeField) for field in rows.model._meta.concrete_fields)
        # Versions repeat what is dated already.
        and not rows.model.__name__.endswith("Event")
    }
    assert dated == NO_VISIT | {Patient} | {model for model, _way, _column in VISITS}
