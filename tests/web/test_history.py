"""The history: every filter alone and together, the search, and pages that lose nothing."""

from __future__ import annotations

import html
import random
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, Modality, Role
from classifier.models import LabelSet, Membership, Patient
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import Analysis, User
    from tests.conftest import Cast


@pytest.fixture(autouse=True)
def _open_clinic(cast: Cast) -> None:
    """Let the clinic show answers at once; what is hidden is tested with the blinding."""
    cast.clinic.blinded_first = False
    cast.clinic.save()


def rows(cast: Cast, user: User | None = None, **query: Any) -> list[Any]:
    """Return the keys of the listed analyses, in order."""
    page = cast.client_of(user or cast.owner).get(reverse("history"), query)
    assert page.status_code == 200, page.context["form"].errors
    return [row.analysis.pk for row in page.context["listed"].rows]


def add(cast: Cast, top: str = "nevus", modality: str = Modality.DERMOSCOPY, **extra: Any) -> Any:
    """Add an answered analysis."""
    image = make.bare_image(extra.pop("patient", cast.patient), cast.owner, modality)
    return make.answered(image, cast.owner, top=top, **extra)


def test_the_newest_leads(cast: Cast) -> None:
    now = timezone.now()
    made = [add(cast, created_at=now - timedelta(days=days)) for days in (3, 1, 2)]
    assert rows(cast) == [made[1].pk, made[2].pk, made[0].pk]


@pytest.fixture
def mixed(cast: Cast) -> dict[str, Analysis]:
    """Return one analysis of every kind a filter can tell apart."""
    made = {
        "melanoma": add(cast, "melanoma"),
        "nevus": add(cast, "nevus"),
        "unsure": add(cast, "nevus", decision=Decision.CANNOT_SAY),
        "unusable": add(cast, "nevus", decision=Decision.REJECTED),
        "photo": add(cast, "vitiligo", Modality.CLINICAL),
        "failed": make.failed(make.bare_image(cast.patient, cast.owner), cast.owner),
        "waiting": factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner),
    }
    save_review(analysis=made["melanoma"], by=cast.colleague, verdict="agree", expected_number=0)
    save_review(analysis=made["photo"], by=cast.owner, verdict="defer", expected_number=0)
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "melanoma nevus unsure unusable photo failed waiting"),
        ({"label": "melanoma"}, "melanoma"),
        ({"label": "nevus"}, "nevus unsure unusable"),
        ({"label": "acne"}, ""),
        ({"decision": "answer"}, "melanoma nevus photo"),
        ({"decision": "cannot_say"}, "unsure"),
        ({"decision": "rejected"}, "unusable"),
        ({"modality": "clinical"}, "photo"),
        ({"modality": "dermoscopy"}, "melanoma nevus unsure unusable failed waiting"),
        ({"state": "succeeded"}, "melanoma nevus unsure photo"),
        ({"state": "rejected"}, "unusable"),
        ({"state": "failed"}, "failed"),
        ({"state": "queued"}, "waiting"),
        ({"state": "running"}, ""),
        ({"review": "reviewed"}, "melanoma"),
        ({"review": "deferred"}, "photo"),
        ({"label": "nevus", "decision": "answer"}, "nevus"),
        ({"label": "nevus", "state": "rejected", "modality": "dermoscopy"}, "unusable"),
        ({"label": "melanoma", "review": "pending"}, ""),
        ({"q": "ada", "modality": "clinical", "review": "deferred", "state": "succeeded"}, "photo"),
        ({"q": "nobody", "modality": "clinical"}, ""),
    ],
)
def test_each_filter_alone_and_together(
    cast: Cast, mixed: dict[str, Analysis], query: dict[str, Any], expected: str
) -> None:
    assert set(rows(cast, **query)) == {mixed[name].pk for name in expected.split()}


def test_the_reviewer_and_the_model_version_can_be_asked_for(
    cast: Cast, mixed: dict[str, Analysis]
) -> None:
    assert rows(cast, reviewer=cast.colleague.pk) == [mixed["melanoma"].pk]
    version = mixed["photo"].model_version
    assert version is not None
    assert rows(cast, version=version.pk) == [mixed["photo"].pk]
    unused = factories.make_model_version(LabelSet.ISIC9, active=False)
    assert rows(cast, version=unused.pk) == []
    assert rows(cast, version=version.pk, reviewer=cast.colleague.pk) == []


def test_one_patient_can_be_asked_for_without_their_name(cast: Cast) -> None:
    namesake = factories.make_patient(cast.clinic, cast.owner, name="Ada Example")
    mine, other = add(cast), add(cast, patient=namesake)
    client = cast.client_of(cast.owner)
    link = f"{reverse('history')}?patient={namesake.pk}"
    assert link in client.get(namesake.get_absolute_url()).content.decode()
    page = client.get(link)
    assert [row.analysis.pk for row in page.context["listed"].rows] == [other.pk]
    text = html.unescape(page.content.decode())
    assert "Only analyses of" in text
    # The export and the filters stay with the patient until somebody asks for everybody.
    assert f"{reverse('history_csv')}?patient={namesake.pk}" in text
    assert f'<input type="hidden" name="patient" value="{namesake.pk}"' in text
    assert set(rows(cast)) == {mine.pk, other.pk}


def test_another_clinics_patient_cannot_be_asked_for(cast: Cast) -> None:
    elsewhere = factories.make_patient(cast.other_clinic, cast.stranger)
    client = cast.client_of(cast.owner)
    told = [
        client.get(reverse("history"), {"patient": str(pk)})
        for pk in (elsewhere.pk, "00000000-0000-4000-8000-000000000000")
    ]
    assert [page.status_code for page in told] == [400, 400]
    errors = [page.context["form"].errors.as_json() for page in told]
    assert errors[0] == errors[1]


def test_a_period_holds_its_first_and_its_last_day(cast: Cast) -> None:
    zone = timezone.get_current_timezone()
    days = {
        "before": datetime(2026, 3, 1, 23, 59, 59, 999999, tzinfo=zone),
        "first": datetime(2026, 3, 2, tzinfo=zone),
        "last": datetime(2026, 3, 4, 23, 59, 59, 999999, tzinfo=zone),
        "after": datetime(2026, 3, 5, tzinfo=zone),
    }
    made = {name: add(cast, created_at=moment).pk for name, moment in days.items()}
    assert rows(cast, since="2026-03-02", until="2026-03-04") == [made["last"], made["first"]]
    assert rows(cast, since="2026-03-05") == [made["after"]]
    assert rows(cast, until="2026-03-01") == [made["before"]]


@pytest.mark.parametrize("zone", ["Europe/Zurich", "UTC", "America/New_York"])
def test_a_period_may_reach_to_the_ends_of_the_calendar(
    cast: Cast, settings: LazySettings, zone: str
) -> None:
    settings.TIME_ZONE = zone
    one = add(cast)
    assert rows(cast, since="0001-01-01", until="9999-12-31") == [one.pk]
    assert rows(cast, since="9999-12-31") == []
    assert rows(cast, until="0001-01-01") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"since": "2026-03-02", "until": "2026-03-01"}, "until"),
        ({"since": "yesterday"}, "since"),
        ({"label": "banana"}, "label"),
        ({"state": "banana"}, "state"),
        ({"version": "banana"}, "version"),
        ({"reviewer": "00000000-0000-0000-0000-000000000000"}, "reviewer"),
        ({"q": "x" * 201}, "q"),
        ({"q": "nul\x00"}, "q"),
    ],
)
def test_an_impossible_filter_is_told_at_its_field(
    cast: Cast, query: dict[str, str], field: str
) -> None:
    for name in ("history", "history_csv"):
        page = cast.client_of(cast.owner).get(reverse(name), query)
        assert page.status_code == 400
        assert list(page.context["form"].errors) == [field]


def test_a_wrong_filter_lists_nothing_rather_than_everything(
    cast: Cast, mixed: dict[str, Analysis]
) -> None:
    page = cast.client_of(cast.owner).get(reverse("history"), {"state": "banana"})
    assert page.context["listed"].rows == []


# --- The search --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "müller",
        "MULLER",
        "Muller",
        "zoë",
        "zoe muller",
        "ZOË MÜLLER-GARCÍA",
        "garcia",
        "KX-77",
        "x-77",
    ],
)
def test_the_search_finds_names_and_numbers_whatever_the_accents(cast: Cast, text: str) -> None:
    patient = factories.make_patient(
        cast.clinic, cast.owner, name="Zoë Müller-García", record_number="KX-77/é"
    )
    add(cast)
    found = add(cast, patient=patient)
    assert rows(cast, q=text) == [found.pk]


def test_a_name_written_without_accents_is_found_with_them(cast: Cast) -> None:
    patient = factories.make_patient(cast.clinic, cast.owner, name="Jose Nunez")
    found = add(cast, patient=patient)
    assert rows(cast, q="José Núñez") == [found.pk]


@pytest.mark.parametrize("text", ["%", "_", "\\", "'", "a%e", "Ada Nobody"])
def test_the_search_takes_any_text_for_what_it_is(cast: Cast, text: str) -> None:
    add(cast)
    assert rows(cast, q=text) == []


def test_the_search_goes_through_the_trigram_index(cast: Cast) -> None:
    with connection.cursor() as cursor:
        # A table of one row is read as a whole unless told otherwise.
        cursor.execute("SET LOCAL enable_seqscan = off")
        plans = [Patient.objects.matching(text).order_by().explain() for text in ("müller", "mü")]
    assert all("patient_search" in plan for plan in plans)


# --- Whose -------------------------------------------------------------------------------------


def test_nobody_finds_another_clinics_analyses(cast: Cast) -> None:
    add(cast)
    for user in (cast.stranger, cast.superuser):
        assert rows(cast, user) == []
        assert rows(cast, user, q="Ada") == []
    assert len(rows(cast, cast.read_only)) == 1


def test_only_own_clinics_and_colleagues_are_offered(cast: Cast) -> None:
    form = cast.client_of(cast.owner).get(reverse("history")).context["form"]
    assert list(form.fields["clinic"].queryset) == [cast.clinic]
    assert cast.stranger not in form.fields["reviewer"].queryset
    assert cast.colleague in form.fields["reviewer"].queryset
    page = cast.client_of(cast.owner).get(reverse("history"), {"reviewer": str(cast.stranger.pk)})
    assert page.status_code == 400


def test_a_member_of_two_clinics_can_narrow_to_one(cast: Cast) -> None:
    Membership.objects.create(user=cast.owner, clinic=cast.other_clinic, role=Role.READ_ONLY)
    elsewhere = factories.make_patient(cast.other_clinic, cast.stranger)
    here, there = add(cast), add(cast, patient=elsewhere)
    assert set(rows(cast)) == {here.pk, there.pk}
    assert rows(cast, clinic=cast.other_clinic.pk) == [there.pk]


# --- Pages -------------------------------------------------------------------------------------


def test_pages_lose_and_repeat_nothing_while_rows_come_in(
    cast: Cast, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 4
    start = timezone.now() - timedelta(days=1)
    # Some of the same moment: the key breaks the tie.
    there = [add(cast, created_at=start + timedelta(minutes=n // 2)).pk for n in range(11)]
    client = cast.client_of(cast.owner)
    forward: list[list[Any]] = []
    cursor = ""
    while True:
        listed = client.get(reverse("history"), {"cursor": cursor}).context["listed"]
        forward.append([row.analysis.pk for row in listed.rows])
        add(cast)  # Somebody uploads while the person reads.
        if not listed.page.next:
            break
        cursor = listed.page.next
    seen = [pk for page in forward for pk in page]
    assert len(seen) == len(set(seen)) == 11
    assert set(seen) == set(there)
    second_last = client.get(reverse("history"), {"cursor": listed.page.previous}).context["listed"]
    assert [row.analysis.pk for row in second_last.rows] == forward[-2]


def test_the_links_keep_the_filters_and_name_no_patient(cast: Cast, settings: LazySettings) -> None:
    settings.PAGE_SIZE = 1
    for _ in range(2):
        add(cast)
    page = cast.client_of(cast.owner).get(reverse("history"), {"modality": "dermoscopy"})
    text = html.unescape(page.content.decode())
    links = re.findall(r'(?:href|src|action)="([^"]*)"', text)
    assert any("modality=dermoscopy" in link and "cursor=" in link for link in links)
    assert any(
        link.startswith(reverse("history_csv")) and "modality=dermoscopy" in link for link in links
    )
    for link in links:
        assert "Ada" not in link
        assert cast.patient.record_number not in link


@pytest.mark.parametrize("cursor", ["", "x", "a.", "a.banana", "z.1", "\x00", "a." + "9" * 500])
def test_a_broken_cursor_shows_the_first_page(cast: Cast, cursor: str) -> None:
    made = add(cast)
    assert rows(cast, cursor=cursor) == [made.pk]


def test_any_mixture_of_filters_is_a_page(cast: Cast, mixed: dict[str, Analysis]) -> None:
    chance = random.Random(7)  # noqa: S311 - drawing test cases, no secret
    choices: dict[str, list[Any]] = {
        "label": ["", "melanoma", "nevus", "vitiligo"],
        "decision": ["", *Decision.values],
        "modality": ["", *Modality.values],
        "state": ["", "succeeded", "rejected", "failed", "queued"],
        "review": ["", "pending", "deferred", "reviewed"],
        "reviewer": ["", cast.owner.pk, cast.colleague.pk],
        "q": ["", "ada", "nobody"],
        "since": ["", "2020-01-01"],
        "until": ["", "2020-01-02", "2999-01-01"],
    }
    facts = {analysis.pk: analysis for analysis in mixed.values()}
    for analysis in facts.values():
        analysis.refresh_from_db()
    for _ in range(12):
        query = {name: chance.choice(values) for name, values in choices.items()}
        expected = {
            analysis.pk
            for analysis in facts.values()
            if query["label"] in {"", analysis.top_label}
            and query["decision"] in {"", analysis.decision}
            and query["modality"] in {"", analysis.modality}
            and query["state"] in {"", analysis.state}
            and query["review"] in {"", analysis.review_state}
            and query["reviewer"] in {"", analysis.last_reviewer_id}
            and query["q"] != "nobody"
            and query["until"] != "2020-01-02"
        }
        assert set(rows(cast, **query)) == expected, query


def test_a_label_is_looked_for_among_pictures_of_its_own_kind_only(cast: Cast) -> None:
    dermoscopic, clinical = add(cast, "melanoma"), add(cast, "melanoma", Modality.CLINICAL)
    add(cast, "nevus")
    assert rows(cast, label="melanoma", modality="clinical") == [clinical.pk]
    assert rows(cast, label="melanoma", modality="dermoscopy") == [dermoscopic.pk]
    assert rows(cast, label="nevus", modality="clinical") == []
