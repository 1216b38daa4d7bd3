"""What happened cannot be unhappened: not by a service, not by the admin panel, not by raw SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import InternalError, connection, transaction

from classifier.models import AuditEvent, Prediction, Reading, Review, Transition
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from tests.web import answered as make

if TYPE_CHECKING:
    from django.db.models import Model

    from tests.conftest import Cast

FACTS: list[type[Model]] = [AuditEvent, Prediction, Reading, Review, Transition]


@pytest.fixture
def story(cast: Cast) -> None:
    """Leave one row of each kind."""
    analysis = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=0)


def rows(model: type[Model]) -> list[tuple[object, ...]]:
    """Return the table as it stands."""
    return list(model._default_manager.order_by("pk").values_list())


@pytest.mark.parametrize("model", FACTS, ids=lambda model: model.__name__)
@pytest.mark.parametrize("deed", ["UPDATE {table} SET {column} = {column}", "DELETE FROM {table}"])
def test_raw_sql_neither_updates_nor_deletes(story: None, model: type[Model], deed: str) -> None:
    before = rows(model)
    assert before
    column = connection.ops.quote_name(str(model._meta.concrete_fields[-1].column))
    table = connection.ops.quote_name(model._meta.db_table)
    with (
        pytest.raises(InternalError, match="append_only"),
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
