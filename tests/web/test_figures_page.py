"""The figures page: for whom it is, and when it says nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, Modality, Role
from classifier.models import LabelSet, Membership
from classifier.selectors.figures import figures_page
from classifier.selectors.figures.counts import count
from mlcore.drift import reference_of
from tests import factories
from tests.web.answers import text_of
from tests.web.counted import SEPTEMBER, autumn, cases, store

if TYPE_CHECKING:
    from tests.conftest import Cast

PAGE = "/figures/"


def test_each_clinic_has_its_own_figures(cast: Cast) -> None:
    theirs = factories.make_patient(cast.other_clinic, cast.stranger)
    store([*cases(cast, 2), *cases(cast, 5, patient=theirs)])
    assert count(cast.owner, autumn(cast.clinic)).all_waits.images == 2
    # The clinic of a period is asked for among the person's own: here it was not.
    assert count(cast.owner, autumn(cast.other_clinic)).all_waits.images == 0
    assert count(cast.superuser, autumn(None)).all_waits.images == 7
    with pytest.raises(PermissionDenied):
        count(cast.administrator, autumn(None))


def test_who_may_choose_what(cast: Cast) -> None:
    client = cast.client_of(cast.read_only)
    assert client.get(PAGE).status_code == 200
    assert client.get(PAGE, {"clinic": str(cast.clinic.pk)}).status_code == 200
    assert client.get(PAGE, {"clinic": str(cast.other_clinic.pk)}).status_code == 400
    assert "All clinics" not in text_of(client.get(PAGE))
    Membership.objects.create(user=cast.read_only, clinic=cast.other_clinic, role=Role.READ_ONLY)
    page = client.get(PAGE, {"clinic": str(cast.other_clinic.pk)})
    assert str(cast.other_clinic) in text_of(page)
    assert "All clinics together" in text_of(cast.client_of(cast.superuser).get(PAGE))
    nobody = factories.make_user()
    assert "You belong to no clinic yet" in text_of(cast.client_of(nobody).get(PAGE))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"since": "2026-09-02", "until": "2026-09-01"}, "This is before the first day."),
        ({"since": "2020-01-01", "until": "2026-09-01"}, "Choose thirteen months at most."),
        ({"since": "yesterday"}, "Enter a valid date."),
        # There is no day 90 days before the first one, and none after the last.
        ({"until": "0001-01-01"}, "Enter a valid date."),
        ({"since": "0001-01-01", "until": "0001-02-01"}, "Enter a valid date."),
        ({"until": "9999-12-31"}, "Enter a valid date."),
        ({"until": "tomorrow"}, "Enter a valid date."),
    ],
)
def test_a_period_that_is_none_is_refused(cast: Cast, asked: dict[str, str], told: str) -> None:
    response = cast.client_of(cast.owner).get(PAGE, asked)
    assert response.status_code == 400
    assert told in text_of(response)
    assert "The whole period" not in text_of(response)


def test_reasons_in_own_words_stay_in_the_clinic(cast: Cast) -> None:
    secret = "Mrs Example's scar"
    store([*cases(cast, 2, final="melanoma", reason=secret), *cases(cast, 1, final="nevus")])
    page = figures_page(cast.owner, autumn(cast.clinic), now=SEPTEMBER)
    assert page.reasons == [(secret.lower(), 2)]
    over_all = figures_page(cast.superuser, autumn(None), now=SEPTEMBER)
    assert over_all.reasons == []
    assert over_all.open == 3


def test_of_few_images_nothing_is_told(cast: Cast) -> None:
    store(cases(cast, 29, at=timezone.now(), final="nevus"))
    page = cast.client_of(cast.owner).get(PAGE)
    text = text_of(page)
    assert "too few to say" in text
    assert "29 of 29" in text
    # A plot without a mark has the axis of an ordinary one.
    assert not re.search(r"\de-\d", page.content.decode())
    assert "100 %" not in re.sub(r"<svg.*?</svg>", "", text)
    # Nor is it left empty: agreement, no answer, both waits; one says it beside its dashed line.
    drawings = re.findall(r"<svg[^>]*viewBox.*?</svg>", page.content.decode())
    assert sum("Too few to say" in one for one in drawings) == 5
    store(cases(cast, 1, at=timezone.now(), final="nevus"))
    assert "89 to 100 % · 30 of 30" in text_of(cast.client_of(cast.owner).get(PAGE))


def test_every_plot_has_words_and_a_table_and_no_style(cast: Cast) -> None:
    store(
        [
            *cases(cast, 40, at=timezone.now(), final="nevus", reading="nevus"),
            *cases(cast, 31, at=timezone.now(), final="melanoma", reason="<b>&"),
            *cases(cast, 9, at=timezone.now(), decision=Decision.CANNOT_SAY, reason_code="unsure"),
            *cases(cast, 9, at=timezone.now(), decision=Decision.REJECTED, reason_code="blurred"),
            *cases(
                cast, 1, at=timezone.now(), final="acne", top="acne", modality=Modality.CLINICAL
            ),
        ]
    )
    cast.clinic.blinded_first = False
    cast.clinic.save()
    html = cast.client_of(cast.owner).get(PAGE).content.decode()
    drawings = re.findall(r"<svg[^>]*viewBox.*?</svg>", html)
    assert len(drawings) == 21
    for one in drawings:
        name = re.search(r'aria-labelledby="(\S+) (\S+)"', one)
        assert name is not None
        assert f'<title id="{name[1]}">' in one
        assert f'<desc id="{name[2]}">' in one
        assert "NaN" not in one
    assert html.count("The same as a table") == len(drawings)
    assert "style=" not in html
    assert "<b>&" not in html
    assert "Too few to say" not in drawings[0]
    assert "Not sure enough" in html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))


def test_the_page_costs_the_same_however_many_images_there_are(cast: Cast) -> None:
    reference = reference_of({"sharpness": np.arange(100) / 100})
    for labels in LabelSet:
        factories.make_model_version(labels, metrics={"reference": reference})
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.CLINICIAN)
    client = cast.client_of(cast.owner)
    client.get("/")
    numbers = []
    for many in (1, 60):
        measured = {"at": timezone.now(), "measures": {"sharpness": 0.5}}
        store(cases(cast, many, final="nevus", reading="nevus", **measured))
        store(cases(cast, many, final="melanoma", reason="too flat", **measured))
        with CaptureQueriesContext(connection) as queries:
            assert client.get(PAGE, {"clinic": str(cast.clinic.pk)}).status_code == 200
        numbers.append(len(queries))
    assert numbers[0] == numbers[1] <= 12, "\n".join(one["sql"][:160] for one in queries)


def test_the_page_can_be_reached(cast: Cast) -> None:
    assert f'href="{reverse("figures")}"' in cast.client_of(cast.owner).get("/").content.decode()
