"""What tests of who may do what, and with what, share."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from classifier.models import BreakGlass
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
    image = factories.make_image(cast.patient, cast.owner)
    holder = factories.make_member(cast.other_clinic, email="emergency@south.example")
    return Things(
        patient=cast.patient,
        image=image,
        analysis=factories.make_analysis(image, cast.owner),
        model_version=factories.make_model_version(),
        access=BreakGlass.objects.create(
            user=holder,
            clinic=cast.clinic,
            patient=cast.patient,
            reason="Unconscious in the emergency room",
            expires_at=timezone.now() + timedelta(hours=1),
        ),
    )
