"""What every page costs: the same number of queries for 3 rows as for 60, and never many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from classifier.choices import ReviewState, Role
from classifier.models import Analysis, Lesion, Membership, ReadingRequest
from classifier.services.readings import save_reading
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from tests import factories
from tests.web import answered as make
from tests.web.answers import signed

if TYPE_CHECKING:
    from django.test import Client

    from tests.conftest import Cast

MOST_QUERIES = 12
# An export asks which ways there are to confirm who one is, and is told to each of the clinics.
MOST_QUERIES_OF_EXPORT = 18
FEW, MANY = 3, 60


def signed_in(cast: Cast) -> Client:
    """Return the owner's browser, past what is written and asked once a minute only."""
    client = cast.client_of(cast.owner)
    client.get("/")
    return client


def cost(client: Client, address: str) -> int:
    """Return the number of queries of one page, read to its end."""
    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
        if response.streaming:
            b"".join(response)
    assert response.status_code == 200, address
    if len(queries) > (MOST_QUERIES_OF_EXPORT if address.endswith(".csv") else MOST_QUERIES):
        pytest.fail("\n".join(query["sql"][:160] for query in queries))
    return len(queries)


def fill(cast: Cast, count: int) -> None:
    """Add so many patients, lesions and analyses in every state a list tells apart."""
    for number in range(count):
        patient = factories.make_patient(cast.clinic, cast.owner)
        image = make.bare_image(patient if number % 2 else cast.patient, cast.owner)
        image.lesion = Lesion.objects.create(
            clinic=cast.clinic,
            patient=image.patient,
            label=f"L{number}-{count}",
            created_by=cast.owner,
        )
        image.save()
        if number % 3 == 2:
            make.failed(image, cast.owner)
            factories.make_analysis(image, cast.owner)
        else:
            analysis = make.answered(image, cast.owner, top="melanoma" if number % 2 else "nevus")
            if number % 3 == 1:
                save_reading(analysis=analysis, by=cast.owner, diagnosis="nevus")
                save_review(analysis=analysis, by=cast.owner, verdict="defer", expected_number=0)
                request_second_reading(analysis=analysis, by=cast.owner, asked=cast.colleague)
            else:
                ReadingRequest.objects.create(
                    clinic=cast.clinic,
                    patient=analysis.patient,
                    analysis=analysis,
                    requested_by=cast.colleague,
                )


LISTS = {
    "worklist": "/",
    "deferred": "/?tab=deferred",
    "waiting": "/?tab=waiting",
    "failed": "/?tab=failed",
    "history": "/history/",
    "filtered": "/history/?label=melanoma&decision=answer&q=pat&modality=dermoscopy",
    "done": "/history/?state=succeeded",
    "csv": "/history/export.csv",
    "asked to read": "/readings/",
    "asked others": "/readings/?tab=mine",
    "disagreements": "/readings/?tab=differ",
    "patients": "/patients/",
    "found": "/patients/?q=pat",
    "search": "/patients/search/?q=pat",
    "new": "/analyses/new/?q=pat",
    "register": "/patients/new/",
}


def test_no_list_and_no_page_costs_more_with_more_rows(cast: Cast) -> None:
    # In two clinics, so that each page must say whose each row is.
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    client = signed_in(cast)
    addresses = LISTS | {
        "patient": cast.patient.get_absolute_url(),
        "edit": reverse("patient_update", args=[cast.patient.pk]),
        "upload": reverse("image_upload", args=[cast.patient.pk]),
    }
    # The patient's page asks what clinicians decided of what is shown; here something is.
    shown = make.answered(make.bare_image(cast.patient, cast.owner), cast.owner)
    save_reading(analysis=shown, by=cast.owner, diagnosis="nevus")
    fill(cast, FEW)
    few = {name: cost(client, address) for name, address in addresses.items()}
    fill(cast, MANY - FEW)
    assert Analysis.objects.filter(review_state=ReviewState.DEFERRED).count() > FEW
    many = {name: cost(client, address) for name, address in addresses.items()}
    assert many == few


@pytest.mark.parametrize("state", ["answered", "failed", "running", "cancelled"])
def test_the_result_page_costs_the_same_however_long_its_record_is(cast: Cast, state: str) -> None:
    cast.clinic.blinded_first = False
    cast.clinic.save()
    image = make.bare_image(cast.patient, cast.owner)
    analysis = getattr(make, state)(image, cast.owner)
    client = signed_in(cast)
    few = cost(client, analysis.get_absolute_url())
    if state == "answered":
        for number in range(12):
            reader = factories.make_member(cast.clinic)
            save_reading(analysis=analysis, by=reader, diagnosis="nevus")
            save_review(analysis=analysis, by=reader, verdict="defer", expected_number=number)
            analysis.refresh_from_db()
        assert cost(client, analysis.get_absolute_url()) == few
    if analysis.model_version_id:
        cost(client, reverse("model_version_detail", args=[analysis.model_version_id]))
    cost_of_map = signed(reverse("analysis_map", args=[analysis.pk, "melanoma"]), cast.owner)
    if state == "answered":
        assert cost(client, cost_of_map) <= 6
