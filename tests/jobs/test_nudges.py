"""The message is only a nudge: when it is sent, what it holds, and what its loss costs."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING

import pytest
import redis
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.urls import reverse

from classifier.choices import Modality, State
from classifier.models import Analysis, LabelSet
from classifier.selectors.workplace import oldest_wait
from classifier.services import analyses
from classifier.tasks.analysis import run_analyses_task, sweep_analyses_task
from mlcore.drawing import draw_dermoscopy
from mlcore.imaging import encode_display
from tests import factories
from tests.jobs.rows import make_due

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import Settings

    from classifier.models import ModelVersion
    from tests.conftest import Cast
    from tests.jobs.processes import OwnBroker

Networks = dict[str, "ModelVersion"]


@pytest.fixture(autouse=True)
def _broker_is_trusted_again() -> Iterator[None]:
    analyses.BROKER.silent_until = 0.0
    yield
    analyses.BROKER.silent_until = 0.0


def messages(broker: OwnBroker) -> list[dict[str, object]]:
    """Return the messages that wait for a worker."""
    with redis.Redis.from_url(broker.url) as client:
        return [json.loads(raw) for raw in client.lrange("analysis", 0, -1)]


def photograph(seed: int) -> SimpleUploadedFile:
    """Return a drawn image as a browser sends it."""
    data = encode_display(draw_dermoscopy("nevus", seed=seed, size=(320, 240)))
    return SimpleUploadedFile("image.jpg", data, "image/jpeg")


def upload(cast: Cast, *seeds: int) -> int:
    """Post images on the patient's page and return the answer's status."""
    response = cast.client_of(cast.owner).post(
        reverse("image_upload", args=[cast.patient.pk]),
        {"images": [photograph(seed) for seed in seeds], "modality": Modality.DERMOSCOPY},
    )
    return response.status_code


@pytest.mark.django_db(transaction=True)
def test_a_worker_is_woken_when_the_row_is_there_and_not_before(
    cast: Cast, own_broker: OwnBroker
) -> None:
    image = factories.make_image(cast.patient, cast.owner)
    with transaction.atomic():
        analysis = analyses.request_analysis(image=image, by=cast.owner)
        assert messages(own_broker) == []
    (message,) = messages(own_broker)
    assert analysis.state == State.QUEUED
    body = message["body"]
    assert isinstance(body, str)
    assert message["content-type"] == "application/json"
    # It carries no state, nothing of the patient, not even which row it is about.
    assert json.loads(base64.b64decode(body))[:2] == [[], {}]
    assert str(analysis.pk) not in json.dumps(message)


@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_wakes_nobody(cast: Cast, own_broker: OwnBroker) -> None:
    image = factories.make_image(cast.patient, cast.owner)

    def ask_and_fail() -> None:
        with transaction.atomic():
            analyses.request_analysis(image=image, by=cast.owner)
            raise OSError

    with pytest.raises(OSError, match=r"^$"):
        ask_and_fail()
    assert not Analysis.objects.exists()
    assert messages(own_broker) == []


@pytest.mark.django_db(transaction=True)
def test_a_retry_wakes_a_worker_too(cast: Cast, own_broker: OwnBroker) -> None:
    analysis = make_due(
        cast,
        state=State.FAILED,
        failure_code="network_error",
        failure_reference="0",
        finished_at=cast.patient.created_at,
    )
    analyses.retry_analysis(analysis=analysis, by=cast.owner, reason="Try it again.")
    assert len(messages(own_broker)) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fate", ["kill", "suspend"])
def test_an_upload_succeeds_without_a_broker_and_the_sweep_finds_it(
    cast: Cast,
    networks: Networks,
    own_broker: OwnBroker,
    fate: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    getattr(own_broker, fate)()
    started = time.monotonic()
    assert upload(cast, 1, 2, 3) in {200, 302}
    # A hung broker is waited for once, not once an image.
    assert time.monotonic() - started < 10
    assert caplog.text.count("The broker does not answer") == 1
    rows = list(Analysis.objects.all())
    assert [row.state for row in rows] == [State.QUEUED] * 3
    # The sweep's own nudge is lost as well; the worker that ran the sweep takes the next one.
    sweep_analyses_task.run()
    run_analyses_task.run()
    assert {row.state for row in Analysis.objects.all()} == {State.SUCCEEDED}


@pytest.mark.django_db(transaction=True)
def test_the_sweep_wakes_a_worker_only_where_something_is_due(
    cast: Cast, own_broker: OwnBroker
) -> None:
    make_due(cast, waited=-60)
    sweep_analyses_task.run()
    assert messages(own_broker) == []
    make_due(cast)
    sweep_analyses_task.run()
    assert len(messages(own_broker)) == 1


@pytest.mark.django_db(transaction=True)
def test_one_message_is_one_batch_and_wakes_the_next(
    cast: Cast, networks: Networks, own_broker: OwnBroker, settings: Settings
) -> None:
    settings.ANALYSIS_BATCH_SIZE = 2
    for _number in range(3):
        make_due(cast)
    run_analyses_task.run()
    assert Analysis.objects.filter(state=State.SUCCEEDED).count() == 2
    assert len(messages(own_broker)) == 1
    run_analyses_task.run()
    assert Analysis.objects.filter(state=State.SUCCEEDED).count() == 3
    assert len(messages(own_broker)) == 1
    # A message too many finds nothing and does nothing.
    run_analyses_task.run()
    assert len(messages(own_broker)) == 1


def test_the_queues_age_is_that_of_the_longest_wait(cast: Cast) -> None:
    assert oldest_wait() is None
    make_due(cast, waited=-60)
    assert oldest_wait() is None
    make_due(cast, waited=20)
    make_due(cast, waited=90, label_set=LabelSet.CLINICAL5)
    waited = oldest_wait()
    assert waited is not None
    assert 90 <= waited.total_seconds() < 120


@pytest.mark.django_db(transaction=True)
def test_a_broker_that_was_started_again_gets_the_next_message(
    cast: Cast, own_broker: OwnBroker
) -> None:
    make_due(cast)
    analyses.wake_worker()
    assert len(messages(own_broker)) == 1
    with redis.Redis.from_url(own_broker.url) as client:
        # What a restart does to whoever was connected, and to a broker that keeps nothing.
        client.flushall()
        client.client_kill_filter(_type="normal", skipme=True)
    analyses.wake_worker()
    assert len(messages(own_broker)) == 1
    assert analyses.BROKER.silent_until == 0.0


def test_messages_share_a_connection(own_broker: OwnBroker) -> None:
    for _number in range(3):
        analyses.wake_worker()
    assert len(messages(own_broker)) == 3
    with redis.Redis.from_url(own_broker.url) as client:
        first = client.info("stats")["total_connections_received"]
        analyses.wake_worker()
        # Nobody but this very client has come meanwhile.
        assert client.info("stats")["total_connections_received"] == first
