"""References: on the page of a fault, in the answer, in the log; and a log that names nobody."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, NoReturn

import pytest
from django.db import IntegrityError, transaction
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
