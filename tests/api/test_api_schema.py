"""The API says what its OpenAPI document says: schemathesis looks for anything else.

``make fuzz-api API_FUZZ_SECONDS=600`` looks for longer.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as given_settings
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from classifier.choices import Decision
from tests.api.programs import program_of
from tests.api.test_api_visit import answered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings as SettingsWrapper

    from tests.conftest import Cast

SECONDS = float(os.environ.get("API_FUZZ_SECONDS", "12"))
# A rule that no schema can tell (a number that is taken, a day that lies ahead) refuses with 422,
# as a request does that does not fit.
NOT_ASKED = [positive_data_acceptance]


@dataclass
class Search:
    """Requests with one token, each undone.

    Attributes:
        text: the token.
        known: what to put into addresses, by the parameter's name.
        until: of the monotonic clock; what was begun before is finished.
        counts: how many answers had which status.
    """

    text: str
    known: dict[str, str]
    until: float
    counts: dict[int, int] = field(default_factory=dict)

    def look(self, operation: Any, mode: GenerationMode, most: int) -> None:
        """Send what schemathesis thinks of for one operation."""

        @given_settings(
            max_examples=most,
            deadline=None,
            database=None,
            derandomize=False,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(mode))
        def asked(case: Any) -> None:
            if mode is GenerationMode.POSITIVE:
                # A row that is there leads further than one that is not.
                case.path_parameters = {
                    name: self.known.get(name, value)
                    for name, value in (case.path_parameters or {}).items()
                }
            with transaction.atomic():
                # Among others: the same request must be refused without the token.
                response = case.call_and_validate(
                    headers={"Authorization": f"Bearer {self.text}"}, excluded_checks=NOT_ASKED
                )
                transaction.set_rollback(True)
            status = response.status_code
            self.counts[status] = self.counts.get(status, 0) + 1

        asked()


@pytest.fixture
def _one_connection() -> Iterator[None]:
    """Let requests go on in the test's own transaction, as Django's test client does."""
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


@pytest.mark.usefixtures("_one_connection")
@pytest.mark.timeout(SECONDS + 500)
def test_schemathesis_finds_nothing(
    cast: Cast, settings: SettingsWrapper, record_property: Any
) -> None:
    settings.API_REQUESTS_PER_MINUTE = settings.UPLOAD_REQUESTS_PER_MINUTE = 10**9
    settings.UPLOAD_BYTES_PER_HOUR = 10**12
    cast.clinic.blinded_first = False
    cast.clinic.save()
    analysis = answered(cast, decision=Decision.ANSWER)
    known = {
        "patient": str(cast.patient.pk),
        "analysis": str(analysis.pk),
        "version": str(analysis.model_version_id),
    }
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert len(operations) == 15
    search = Search(program_of(cast.owner, cast.clinic).text, known, time.monotonic() + SECONDS)
    rounds = 0
    while not rounds or time.monotonic() < search.until:
        for operation in operations:
            for mode in GenerationMode:
                search.look(operation, mode, most=5 if rounds else 2)
        rounds += 1
    assert search.counts[200] > 0
    assert search.counts[422] > 0
    record_property("answers", search.counts)
