"""What happened cannot be unhappened: not by a service, not by the admin panel, not by raw SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pgtrigger
import pytest
from django.db import InternalError, connection, transaction
from django.utils import timezone

from classifier.models import (
    AuditEvent,
    Embedding,
    Erasure,
    Prediction,
    Reading,
    Review,
    Transition,
)
from classifier.models.embeddings import DIMENSIONS
from classifier.services.audit_chain import seal
from classifier.services.consents import record_consent
from classifier.services.outcomes import record_outcome
from classifier.services.patients import add_lesion, update_patient
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests.web import answered as make

if TYPE_CHECKING:
    from django.db.models import Model

    from tests.conftest import Cast

FACTS: list[type[Model]] = [AuditEvent, Prediction, Reading, Review, Transition]
# A tombstone is told what became of its files; tests/records is about those.
GUARDED = {
    cast("type[Model]", model)
    for model, trigger in pgtrigger.registered()
    if str(trigger.name).endswith("append_only")
} - {Erasure}


@pytest.fixture
def story(cast: Cast) -> None:
    """Leave one row of each kind."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=0)
    assert analysis.prediction is not None
    Embedding.objects.create(
        prediction=analysis.prediction,
        clinic=cast.clinic,
        patient=cast.patient,
        model_version=analysis.prediction.model_version,
        vector=[1.0, *[0.0] * (DIMENSIONS - 1)],
    )
    today = timezone.localdate()
    record_consent(
        patient=cast.patient, by=cast.owner, use="teaching", given=True, decided_on=today
    )
    lesion = add_lesion(patient=cast.patient, by=cast.owner, label="mole")
    record_outcome(
        lesion=lesion,
        by=cast.owner,
        kind="follow_up",
        diagnosis="nevus",
        found_on=today,
        expected_number=0,
    )
    update_patient(patient=cast.patient, by=cast.owner, notes="moved")
    seal()
    with connection.cursor() as cursor:
        # What foreign keys still have to check would keep a table from being emptied, too.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def rows(model: type[Model]) -> list[tuple[object, ...]]:
    """Return the table as it stands."""
    return list(model._default_manager.order_by("pk").values_list())


@pytest.mark.parametrize(
    "deed",
    ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}", "TRUNCATE {table} CASCADE"],
)
def test_raw_sql_neither_updates_nor_deletes_nor_empties(story: None, deed: str) -> None:
    assert {*FACTS} < GUARDED
    for model in GUARDED:
        before = rows(model)
        assert before, model
        column = connection.ops.quote_name(str(model._meta.concrete_fields[-1].column))
        table = connection.ops.quote_name(model._meta.db_table)
        with (
            # Emptying a table empties those that point at it: each must refuse by itself.
            pytest.raises(InternalError, match=f"append_only: .* {model._meta.db_table}"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(deed.format(table=table, column=column))
        assert rows(model) == before


@pytest.mark.parametrize("model", FACTS, ids=lambda model: model.__name__)
def test_the_orm_neither_saves_nor_deletes(story: None, model: type[Model]) -> None:
    row = model._default_manager.all()[0]
    for deed in (row.save, row.delete):
        with pytest.raises(Exception, match=r"append_only|foreign keys"), transaction.atomic():
            deed()
    assert len(rows(model)) >= 1
