"""Lists that cost the same at a million rows: what they show, and how PostgreSQL finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from bench.history_measure import ask, client_of
from bench.history_pages import pages
from bench.history_plans import plans_of, scanned
from bench.history_seed import NotEmptyError, seed
from classifier.choices import Role
from classifier.models import Analysis, BreakGlass, Membership, Patient, Prediction
from classifier.selectors.lists import TABS, history, tab_rows, worklist, worklist_counts
from tests import factories
from tests.web import answered as make

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast

PREDICTIONS = 12_000
MOST_QUERIES = 12


def place(cast: Cast) -> User:
    """Give the owner two clinics more, one listed by age alone, and an emergency in a fourth."""
    by_age = factories.make_clinic("By age", blinded_first=True, urgent_first=False)
    third = factories.make_clinic("Third", blinded_first=False)
    strange = factories.make_clinic("Strange")
    for clinic in (by_age, third):
        Membership.objects.create(user=cast.owner, clinic=clinic, role=Role.CLINICIAN)
    opened = factories.make_patient(strange, cast.stranger)
    patients = [
        cast.patient,
        factories.make_patient(by_age, cast.owner),
        factories.make_patient(third, cast.owner),
        opened,
        factories.make_patient(strange, cast.stranger),
        factories.make_patient(cast.other_clinic, cast.stranger),
    ]
    now = timezone.now()
    for number in range(6):
        for row, patient in enumerate(patients):
            image = make.bare_image(patient, cast.owner)
            moment = now - timedelta(minutes=(number * 7 + row * 5) % 11)
            if number == 5:
                make.failed(image, cast.owner, created_at=moment)
                continue
            top = ("melanoma", "nevus", "actinic_keratosis")[(number + row) % 3]
            make.answered(image, cast.owner, top=top, created_at=moment)
    BreakGlass.objects.create(
        user=cast.owner,
        clinic=strange,
        patient=opened,
        reason="Found unconscious.",
        expires_at=now + timedelta(hours=1),
    )
    return cast.owner


def walked(look: Any) -> list[Any]:
    """Return the keys of all pages, forward; and check that going back shows the same."""
    found = [look("")]
    while found[-1].page.next:
        found.append(look(found[-1].page.next))
    for before, after in pairwise(found):
        back = look(after.page.previous)
        assert [row.analysis.pk for row in back.rows] == [row.analysis.pk for row in before.rows]
    return [row.analysis.pk for page in found for row in page.rows]


def test_merging_clinics_shows_every_row_once_in_order(cast: Cast, settings: LazySettings) -> None:
    user = place(cast)
    settings.PAGE_SIZE = 4
    for who in (user, cast.stranger, cast.superuser, cast.deactivated):
        counts = worklist_counts(who)
        for tab in TABS:
            seen = tab_rows(tab).visible_to(who)
            shown = walked(lambda cursor, t=tab, w=who: worklist(w, tab=t, cursor=cursor))
            assert len(shown) == len(set(shown)) == seen.count() == getattr(counts, tab), (who, tab)
            assert set(shown) == set(seen.values_list("pk", flat=True))
        everything = walked(lambda cursor, w=who: history(w, {}, cursor=cursor))
        expected = Analysis.objects.visible_to(who).order_by("-created_at", "-id")
        assert everything == list(expected.values_list("pk", flat=True))
    # One clinic's rows all count as the worst group; the others' by what the network said.
    rows = {row.pk: row for row in Analysis.objects.select_related("clinic")}
    listed = [rows[key] for key in walked(lambda c: worklist(user, tab="review", cursor=c))]
    ranks = [0 if row.clinic.name == "By age" else row.triage_rank for row in listed]
    keys = [(rank, row.created_at, row.pk) for rank, row in zip(ranks, listed, strict=True)]
    assert keys == sorted(keys)
    assert len(set(ranks)) == 3
    assert {row.clinic.name for row in listed} >= {"By age", "Third", "Strange"}


def test_rows_that_name_no_patient_are_those_of_the_own_clinics(cast: Cast) -> None:
    place(cast)
    own = factories.make_patient(cast.clinic, cast.owner)
    newest = make.answered(make.bare_image(own, cast.owner), cast.owner).prediction
    order = ("-created_at", "-id")
    assert newest
    for who in (cast.colleague, cast.stranger, cast.deactivated, cast.superuser):
        first = Prediction.objects.first_visible_to(who, order=order, size=3)[:3]
        assert list(first) == list(Prediction.objects.visible_to(who).order_by(*order)[:3])
    seen = Prediction.objects.first_visible_to(cast.colleague, order=order, size=3)[:3]
    assert [row.clinic_id for row in seen] == [cast.clinic.pk] * 3
    assert seen[0].pk == newest.pk


@pytest.mark.parametrize(
    ("filters", "some"),
    [
        ({"state": "succeeded", "decision": "rejected"}, False),
        ({"q": "nobody at all"}, False),
        ({"q": "ada"}, True),
        ({"q": "ad ex"}, True),
        ({"q": "da"}, False),
        ({"q": "patient"}, True),
    ],
)
def test_what_is_asked_for_is_found_and_nothing_else(
    cast: Cast, filters: dict[str, Any], some: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = place(cast)
    for few in (200, 1):
        monkeypatch.setattr("classifier.models.patients._FEW", few)
        assert bool(history(user, filters).rows) == some


def test_the_database_keeps_the_words_of_a_patient_whoever_writes_them(cast: Cast) -> None:
    key = cast.patient.pk
    Patient.objects.filter(pk=key).update(name="Zoë Müller")
    assert Patient.objects.get(pk=key).search_text == " ZOE MULLER " + cast.patient.record_number
    Patient.objects.filter(pk=key).update(search_text="something else")
    assert Patient.objects.matching("mull zo").get().pk == key
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE classifier_patient SET record_number = 'ÄB-7' WHERE id = %s", [str(key)]
        )
    assert Patient.objects.matching("ab-7").get().pk == key
    assert not Patient.objects.matching("ada").exists()


@pytest.fixture
def history_of_years(django_db_setup: None, django_db_blocker: Any) -> Any:
    """Fill a database of its own on the suite's server, and let this process use it."""
    settings = connection.settings_dict
    kept = settings["NAME"]
    name = f"{kept}_history"
    with django_db_blocker.unblock():
        connection.close()
        with connection._nodb_cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{kept}"')
        parts = {key.lower(): settings[key] for key in ("USER", "PASSWORD", "HOST", "PORT")}
        url = "postgres://{user}:{password}@{host}:{port}/".format(**parts) + name
        settings["NAME"] = name
        try:
            seed(url, PREDICTIONS)
            yield url
        finally:
            connection.close()
            settings["NAME"] = kept
            with connection._nodb_cursor() as cursor:
                cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def test_no_page_reads_a_growing_table_from_end_to_end(history_of_years: str) -> None:
    with pytest.raises(NotEmptyError):
        seed(history_of_years, PREDICTIONS)
    # The benchmark asks for all pages as everybody; here the lists, as who works in five clinics.
    chosen = [
        page
        for page in pages()
        if page.who == "five"
        and not (page.part == "history" and "," in page.name)
        and not page.name.endswith(("number", "nobody", "deep"))
    ]
    clients = {page.who: client_of(page.who) for page in chosen}
    asked = 0
    for page in chosen:
        queries, plans = plans_of(partial(ask, clients[page.who], page))
        found = {table for plan in plans for table in plan["scanned"]}
        assert queries <= MOST_QUERIES, page.name
        assert not found, (page.name, [plan for plan in plans if plan["scanned"]])
        asked += 1
    assert asked > 25


def test_a_scan_is_told_from_a_glance() -> None:
    whole = (
        "Seq Scan on classifier_analysis  (cost=0.00..1.00 rows=1 width=4) "
        "(actual time=0.1..9.0 rows=3.00 loops=1)\n"
        "  Filter: (state = 'x')\n  Rows Removed by Filter: 20000\n"
    )
    assert scanned(whole) == {"classifier_analysis"}
    assert scanned(whole.replace("20000", "20")) == set()
    assert scanned(whole.replace("classifier_analysis", "classifier_clinic")) == set()
    never = "->  Seq Scan on classifier_image  (cost=0.00..1.00 rows=9 width=4) (never executed)"
    assert scanned(never) == set()


def test_seeding_asks_for_a_database() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    command = [sys.executable, "-m", "bench.history_seed", "100"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "DATABASE_URL" in done.stderr
