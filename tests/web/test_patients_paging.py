"""Keyset pages: complete, in order, stable under change, bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from classifier.models import Patient
from classifier.selectors.paging import KeysetPage, paginate
from tests import factories

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_django.fixtures import DjangoAssertNumQueries

    from tests.conftest import Cast

ORDERS: list[Sequence[str]] = [
    ("name", "id"),
    ("-name", "-id"),
    ("name", "-id"),
    ("-archived", "name", "-id"),
]


@pytest.fixture
def patients(cast: Cast) -> list[Patient]:
    """Return twenty patients, many of the same name."""
    return [
        factories.make_patient(
            cast.clinic, cast.owner, name=f"Same {number % 3}", archived=number % 4 == 0
        )
        for number in range(19)
    ] + [cast.patient]


def _walk(order: Sequence[str], size: int) -> list[KeysetPage[Patient]]:
    pages = [paginate(Patient.objects.all(), order=order, cursor="", size=size)]
    while pages[-1].next:
        pages.append(paginate(Patient.objects.all(), order=order, cursor=pages[-1].next, size=size))
    return pages


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("size", [1, 3, 7, 20, 21])
def test_walking_forward_shows_every_row_once_in_order(
    patients: list[Patient], order: Sequence[str], size: int
) -> None:
    pages = _walk(order, size)
    shown = [row.pk for page in pages for row in page]
    assert shown == list(Patient.objects.order_by(*order).values_list("pk", flat=True))
    assert len(shown) == len(patients)
    assert all(len(page) == size for page in pages[:-1])
    assert pages[0].previous == ""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.usefixtures("patients")
def test_walking_back_shows_the_same_pages(order: Sequence[str]) -> None:
    pages = _walk(order, 6)
    back = pages[-1]
    for expected in reversed(pages[:-1]):
        back = paginate(Patient.objects.all(), order=order, cursor=back.previous, size=6)
        assert [row.pk for row in back] == [row.pk for row in expected]
    assert back.previous == ""


@pytest.mark.usefixtures("patients")
@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "after",
        "after.",
        "after.7",
        "before.not-a-uuid",
        "after.\x00",
        "' or 1=1",
        "sideways.1",
        "after.00000000-0000-0000-0000-000000000000",
        None,
    ],
)
def test_bad_cursor_gives_the_first_page(cursor: str | None) -> None:
    first = paginate(Patient.objects.all(), order=("name", "id"), cursor="", size=5)
    page = paginate(Patient.objects.all(), order=("name", "id"), cursor=cursor, size=5)
    assert page == first


def test_cursor_of_a_row_the_person_may_not_see_is_none(
    cast: Cast, patients: list[Patient]
) -> None:
    elsewhere = factories.make_patient(cast.other_clinic, cast.stranger, name="Same 1")
    mine = Patient.objects.visible_to(cast.owner)
    first = paginate(mine, order=("name", "id"), cursor="", size=5)
    assert paginate(mine, order=("name", "id"), cursor=f"after.{elsewhere.pk}", size=5) == first
    assert len(patients) > len(first)


def test_next_works_from_a_row_that_has_left_the_list(cast: Cast, patients: list[Patient]) -> None:
    everyone = Patient.objects.visible_to(cast.owner)
    listed = everyone.filter(archived=False)
    first = paginate(listed, order=("name", "id"), cursor="", size=5, anchors=everyone)
    expected = paginate(listed, order=("name", "id"), cursor=first.next, size=5)
    Patient.objects.filter(pk=first.rows[-1].pk).update(archived=True)
    second = paginate(listed, order=("name", "id"), cursor=first.next, size=5, anchors=everyone)
    assert second.rows == expected.rows
    assert len(patients) > len(second)


@pytest.mark.usefixtures("patients")
def test_turning_back_to_a_short_first_page_shows_it_full() -> None:
    ordered = list(Patient.objects.order_by("name", "id"))
    cursor = f"before.{ordered[2].pk}"
    page = paginate(Patient.objects.all(), order=("name", "id"), cursor=cursor, size=5)
    assert page.rows == ordered[:5]


@pytest.mark.usefixtures("patients")
def test_a_page_costs_two_queries_and_counts_nothing(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    first = paginate(Patient.objects.all(), order=("name", "id"), cursor="", size=5)
    with django_assert_num_queries(2) as captured:
        paginate(Patient.objects.all(), order=("name", "id"), cursor=first.next, size=5)
    assert not any("COUNT(" in query["sql"] for query in captured.captured_queries)


def test_an_empty_list_is_one_empty_page(cast: Cast) -> None:
    page = paginate(
        Patient.objects.visible_to(cast.stranger), order=("name", "id"), cursor="", size=5
    )
    assert len(page) == 0
    assert not page.has_others


@pytest.mark.parametrize("order", [(), ("name",), ("date_of_birth", "id")])
def test_an_order_that_would_lose_rows_is_refused(order: Sequence[str]) -> None:
    with pytest.raises(ValueError, match=r"order|fall out"):
        paginate(Patient.objects.all(), order=order, cursor="", size=5)
