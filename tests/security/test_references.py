"""References: on the page of a fault, in the answer, in the log; and a log that names nobody."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, NoReturn

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client

from skinapp import health
from skinapp.logs import DiscreetFormatter, ReferenceFilter
from tests import factories

if TYPE_CHECKING:
    from tests.conftest import Cast


def formatted(record: logging.LogRecord) -> str:
    """Return a record as the handlers of the settings write it."""
    ReferenceFilter().filter(record)
    return DiscreetFormatter("{levelname} {reference} {message}", style="{").format(record)


def test_every_answer_carries_a_reference_of_its_own() -> None:
    client = Client()
    seen = {client.get("/healthz").headers["X-Reference"] for _time in range(3)}
    assert len(seen) == 3
    assert all(re.fullmatch("[0-9a-f]{8}", reference) for reference in seen)


def test_a_fault_is_shown_and_logged_under_one_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_values: object, **_named: object) -> NoReturn:
        raise RuntimeError("unforeseen")

    lines: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatted(record))

    monkeypatch.setattr(health, "HttpResponse", broken)
    listener = Listener()
    logging.getLogger("django.request").addHandler(listener)
    try:
        answer = Client(raise_request_exception=False).get("/healthz")
    finally:
        logging.getLogger("django.request").removeHandler(listener)
    assert answer.status_code == 500
    reference = answer.headers["X-Reference"]
    assert f"<code>{reference}</code>" in answer.content.decode()
    assert len(lines) == 1
    assert lines[0].startswith(f"ERROR {reference} Internal Server Error: /healthz")
    assert "RuntimeError: unforeseen" in lines[0]


def test_outside_a_request_there_is_a_dash() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "words", None, None)
    assert formatted(record) == "INFO - words"


def test_a_value_that_exists_already_does_not_reach_the_log(cast: Cast) -> None:
    # Not in the lines below, which a traceback quotes.
    number = "MRN-PRIVATE"
    factories.make_patient(cast.clinic, cast.owner, record_number=number)
    with pytest.raises(IntegrityError) as fault, transaction.atomic():
        factories.make_patient(cast.clinic, cast.owner, record_number=number)
    assert "MRN-PRIVATE" in str(fault.value)
    record = logging.LogRecord(
        "x", logging.ERROR, __file__, 1, "words", None, (fault.type, fault.value, fault.tb)
    )
    text = formatted(record)
    assert "DETAIL:  withheld" in text
    assert "duplicate key value violates unique constraint" in text
    assert "MRN-PRIVATE" not in text


def refused(statement: str, *values: str) -> DatabaseError:
    """Return what is raised where the database refuses a statement."""
    with pytest.raises(DatabaseError) as fault, transaction.atomic():
        connection.cursor().execute(statement, values)
    return fault.value


def refused_row(notes: str) -> DatabaseError:
    """Return the fault of a row that the database refuses, quoting all of it."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE quoted (notes text, CHECK (notes = ''))")
    fault = refused("INSERT INTO quoted VALUES (%s)", notes)
    assert "Failing row contains" in str(fault)
    return fault


def of_fault(fault: BaseException, message: str, *values: object) -> logging.LogRecord:
    """Return the record of a message with a fault's traceback."""
    told = (type(fault), fault, fault.__traceback__)
    return logging.LogRecord("x", logging.ERROR, __file__, 1, message, values, told)


NOTES = "Ada PRIVATE\n\tsecond PRIVATE line\n\nlast PRIVATE line"


def test_no_line_of_a_value_that_is_quoted_reaches_the_log(db: None) -> None:
    fault = refused_row(NOTES)
    assert str(fault).count("PRIVATE") == 3
    text = formatted(of_fault(fault, "words"))
    assert "PRIVATE" not in text
    # Both faults are told, PostgreSQL's own and Django's that came of it, and where they came from.
    assert text.count("DETAIL:  withheld") == 2
    assert text.count("violates check constraint") == 2
    assert text.count("Traceback (most recent call last):") == 2
    assert "The above exception was the direct cause of the following exception:" in text


def test_a_task_that_fails_quotes_no_row_in_its_own_line(db: None) -> None:
    fault = refused_row(NOTES)
    line = "Task %(name)s raised unexpected: %(exc)s"
    text = formatted(of_fault(fault, line, {"name": "classifier.tasks.x", "exc": repr(fault)}))
    assert "PRIVATE" not in text
    assert "Task classifier.tasks.x raised unexpected: IntegrityError(" in text
    assert text.count("Traceback (most recent call last):") == 2
    # Without a traceback, too, and where somebody else's formatter has made one of it.
    alone = logging.LogRecord("x", logging.ERROR, __file__, 1, "%s", (fault,), None)
    assert "PRIVATE" not in formatted(alone)
    cached = of_fault(fault, "words")
    logging.Formatter().format(cached)
    assert "PRIVATE" in str(cached.exc_text)
    assert "PRIVATE" not in formatted(cached)


def test_a_statement_that_is_quoted_with_its_values_is_withheld(db: None) -> None:
    fault = refused("SELECT %s || date %s", NOTES, "then")
    assert "LINE 4: last PRIVATE line" in str(fault)
    assert "PRIVATE" not in formatted(of_fault(fault, "words"))
