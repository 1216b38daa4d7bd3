"""What tests of who may do what, and with what, share."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from classifier.choices import DeliveryState
from classifier.models import (
    ApiToken,
    BreakGlass,
    ImportRun,
    ReadingRequest,
    RerunRun,
    SavedFilter,
    Webhook,
    WebhookDelivery,
)
from classifier.services.sealing import seal
from tests import factories
from tests.security.cells import Things

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings

    from tests.conftest import Cast


@pytest.fixture
def open_doors(settings: LazySettings) -> Iterator[None]:
    """Count no attempts, or the first few would be all that is looked at; log no refusals."""
    settings.ACCOUNT_RATE_LIMITS = False
    settings.UPLOAD_REQUESTS_PER_MINUTE = settings.UPLOAD_BYTES_PER_HOUR = 10**12
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def things(cast: Cast) -> Things:
    """Make the first clinic's rows."""
    lesion = factories.make_lesion(cast.patient, cast.owner)
    image = factories.make_image(cast.patient, cast.owner, lesion=lesion)
    holder = factories.make_member(cast.other_clinic, email="emergency@south.example")
    analysis = factories.make_analysis(image, cast.owner)
    webhook = Webhook.objects.create(
        clinic=cast.clinic,
        url="https://receiver.example/",
        secret=seal("secret"),
        created_by=cast.administrator,
    )
    now = timezone.now()
    version = factories.make_model_version()
    return Things(
        patient=cast.patient,
        lesion=lesion,
        image=image,
        analysis=analysis,
        # Its owner is in another clinic by now, and may still revoke it.
        token=ApiToken.objects.create(
            user=holder,
            clinic=cast.clinic,
            name="Program",
            scopes=["read"],
            digest="0" * 64,
            ending="abcd",
            expires_at=now + timedelta(hours=1),
        ),
        webhook=webhook,
        delivery=WebhookDelivery.objects.create(
            webhook=webhook,
            analysis=analysis,
            analysis_attempt=1,
            state=DeliveryState.GIVEN_UP,
            next_attempt_at=now,
            created_at=now,
        ),
        model_version=version,
        rerun=RerunRun.objects.create(
            version=version,
            clinic=cast.clinic,
            since=now.date(),
            until=now.date(),
            created_by=cast.administrator,
        ),
        saved_filter=SavedFilter.objects.create(
            user=cast.owner, page="history", name="Own", query={"label": "melanoma"}
        ),
        import_run=ImportRun.objects.create(
            clinic=cast.clinic, created_by=cast.administrator, source_sha256="0" * 64
        ),
        reading_request=ReadingRequest.objects.create(
            clinic=cast.clinic,
            patient=cast.patient,
            analysis=analysis,
            requested_by=cast.owner,
            asked=cast.colleague,
        ),
        access=BreakGlass.objects.create(
            user=holder,
            clinic=cast.clinic,
            patient=cast.patient,
            reason="Unconscious in the emergency room",
            expires_at=timezone.now() + timedelta(hours=1),
        ),
    )
