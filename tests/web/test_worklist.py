"""The worklist: what waits for a person, and in which order."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.urls import reverse
from django.utils import timezone

from classifier.choices import Decision, ReviewState
from classifier.models import Analysis
from classifier.selectors.lists import MOST_COUNTED
from classifier.services.reviews import save_review
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from datetime import datetime

    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast


@pytest.fixture(autouse=True)
def _open_clinic(cast: Cast) -> None:
    """Let the clinic show answers at once; what is hidden is tested with the blinding."""
    cast.clinic.blinded_first = False
    cast.clinic.save()


def add(cast: Cast, top: str = "nevus", **extra: Any) -> Analysis:
    """Add an answered analysis."""
    return make.answered(make.bare_image(cast.patient, cast.owner), cast.owner, top=top, **extra)


def ids(cast: Cast, user: User | None = None, **query: str) -> list[Any]:
    """Return the keys of the listed analyses, in order."""
    page = cast.client_of(user or cast.owner).get(reverse("worklist"), query)
    assert page.status_code == 200
    return [row.analysis.pk for row in page.context["listed"].rows]


def hours_ago(hours: int) -> datetime:
    """Return a moment."""
    return timezone.now() - timedelta(hours=hours)


def test_whoever_has_no_clinic_is_told_so_and_sees_no_empty_tabs(cast: Cast) -> None:
    client = cast.client_of(cast.superuser)
    for name in ("worklist", "history", "patient_list"):
        page = client.get(reverse(name)).content.decode()
        assert "You belong to no clinic yet" in page
        assert "tab=deferred" not in page
        assert "The worst triage group" not in page


def test_the_worst_group_leads_and_then_the_oldest(cast: Cast) -> None:
    benign_old = add(cast, "dermatofibroma", created_at=hours_ago(90))
    cancer_new = add(cast, "melanoma", created_at=hours_ago(1))
    cancer_old = add(cast, "basal_cell_carcinoma", created_at=hours_ago(5))
    before_cancer = add(cast, "actinic_keratosis", created_at=hours_ago(50))
    benign_new = add(cast, "nevus", created_at=hours_ago(2))
    expected = [cancer_old, cancer_new, before_cancer, benign_old, benign_new]
    assert ids(cast) == [analysis.pk for analysis in expected]


def test_what_the_network_could_not_judge_does_not_sink(cast: Cast) -> None:
    benign = add(cast, "nevus", created_at=hours_ago(9))
    unsure = add(cast, "nevus", decision=Decision.CANNOT_SAY, created_at=hours_ago(1))
    unusable = add(cast, "nevus", decision=Decision.REJECTED, created_at=hours_ago(0))
    cancer = add(cast, "melanoma")
    assert ids(cast) == [cancer.pk, unsure.pk, unusable.pk, benign.pk]


def test_rows_of_the_same_moment_have_an_order_too(cast: Cast) -> None:
    moment = hours_ago(3)
    rows = [add(cast, created_at=moment) for _ in range(5)]
    assert ids(cast) == sorted(row.pk for row in rows)


def test_each_tab_lists_its_own(cast: Cast) -> None:
    pending = add(cast)
    deferred, reviewed = add(cast), add(cast)
    save_review(analysis=deferred, by=cast.owner, verdict="defer", expected_number=0)
    save_review(analysis=reviewed, by=cast.owner, verdict="agree", expected_number=0)
    image = make.bare_image(cast.patient, cast.owner)
    failed = make.failed(image, cast.owner)
    busy = make.running(image, cast.owner)
    queued = factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner)
    make.cancelled(make.bare_image(cast.patient, cast.owner), cast.owner)
    assert ids(cast) == [pending.pk]
    assert ids(cast, tab="deferred") == [deferred.pk]
    assert ids(cast, tab="waiting") == [busy.pk, queued.pk]
    assert ids(cast, tab="failed") == [failed.pk]
    assert ids(cast, tab="nonsense") == [pending.pk]
    counts = cast.client_of(cast.owner).get(reverse("worklist")).context["counts"]
    assert (counts.review, counts.deferred, counts.waiting, counts.failed) == (1, 1, 2, 1)


def test_a_review_takes_the_row_off_the_list(cast: Cast) -> None:
    analysis = add(cast)
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=0)
    assert ids(cast) == []
    page = cast.client_of(cast.owner).get(reverse("worklist")).content.decode()
    assert "Nothing waits for a review." in page


def test_what_failed_first_leads_the_failed(cast: Cast) -> None:
    rows = [
        make.at(
            hours_ago(hours), make.failed(make.bare_image(cast.patient, cast.owner), cast.owner)
        )
        for hours in (2, 9, 5)
    ]
    assert ids(cast, tab="failed") == [rows[n].pk for n in (1, 2, 0)]


def test_nobody_sees_another_clinics_work(cast: Cast) -> None:
    deferred = add(cast)
    save_review(analysis=deferred, by=cast.owner, verdict="defer", expected_number=0)
    rows = {
        "review": add(cast),
        "deferred": deferred,
        "waiting": factories.make_analysis(make.bare_image(cast.patient, cast.owner), cast.owner),
        "failed": make.failed(make.bare_image(cast.patient, cast.owner), cast.owner),
    }
    for tab, row in rows.items():
        assert ids(cast, cast.owner, tab=tab) == [row.pk]
        assert ids(cast, cast.stranger, tab=tab) == []
        assert ids(cast, cast.superuser, tab=tab) == []
    page = cast.client_of(cast.superuser).get(reverse("worklist")).content.decode()
    assert "You belong to no clinic yet" in page
    assert len(ids(cast, cast.read_only)) == 1


def test_counts_stop_where_nobody_counts_on(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_COUNTED == 99
    monkeypatch.setattr("classifier.selectors.lists.MOST_COUNTED", 2)
    monkeypatch.setattr("classifier.views.lists.MOST_COUNTED", 2)
    for _ in range(4):
        add(cast)
    page = cast.client_of(cast.owner).get(reverse("worklist"))
    assert page.context["counts"].review == 3
    assert "2+" in page.content.decode()


def test_walking_the_pages_shows_every_row_once_both_ways(
    cast: Cast, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 3
    tops = ("melanoma", "nevus", "actinic_keratosis", "dermatofibroma")
    expected = [
        row.pk
        for row in sorted(
            (add(cast, tops[n % 4], created_at=hours_ago(n % 3)) for n in range(10)),
            key=lambda row: (row.triage_rank, row.created_at, row.pk),
        )
    ]
    client = cast.client_of(cast.owner)
    seen: list[Any] = []
    forward: list[list[Any]] = []
    cursor = ""
    while True:
        listed = client.get(reverse("worklist"), {"cursor": cursor}).context["listed"]
        forward.append([row.analysis.pk for row in listed.rows])
        seen += forward[-1]
        if not listed.page.next:
            break
        cursor = listed.page.next
    assert seen == expected
    back = [forward[-1]]
    while listed.page.previous:
        listed = client.get(reverse("worklist"), {"cursor": listed.page.previous}).context["listed"]
        back.append([row.analysis.pk for row in listed.rows])
    assert back == forward[::-1]


def test_a_row_reviewed_meanwhile_does_not_lose_the_next_page(
    cast: Cast, settings: LazySettings
) -> None:
    settings.PAGE_SIZE = 2
    rows = [add(cast, created_at=hours_ago(9 - n)) for n in range(5)]
    client = cast.client_of(cast.owner)
    first = client.get(reverse("worklist"))
    for row in rows[:2]:
        save_review(analysis=row, by=cast.owner, verdict="agree", expected_number=0)
    link = first.context["listed"].page.next
    second = client.get(reverse("worklist"), {"cursor": link}).context["listed"]
    assert [row.analysis.pk for row in second.rows] == [row.pk for row in rows[2:4]]


def test_the_links_to_other_pages_keep_the_tab_and_work(cast: Cast, settings: LazySettings) -> None:
    settings.PAGE_SIZE = 1
    for _ in range(2):
        Analysis.objects.filter(pk=add(cast).pk).update(review_state=ReviewState.DEFERRED)
    client = cast.client_of(cast.owner)
    page = client.get(reverse("worklist"), {"tab": "deferred"})
    cursor = page.context["listed"].page.next
    link = f"?tab=deferred&amp;cursor={cursor}"
    assert link in page.content.decode()
    second = client.get(reverse("worklist") + link.replace("&amp;", "&"))
    assert len(second.context["listed"].rows) == 1
    assert second.context["listed"].rows[0].analysis != page.context["listed"].rows[0].analysis
