"""What the figures page counts."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from classifier.choices import (
    Behaviour,
    BodySite,
    Decision,
    Modality,
    OutcomeKind,
    ReviewState,
    Sex,
    SkinType,
)
from classifier.models import Lesion, Outcome
from classifier.selectors.figures import Period, figures_page
from classifier.selectors.figures.counts import count
from classifier.selectors.figures.totals import Counts, Tally, Waits
from classifier.services.reviews import save_review
from classifier.services.second_readings import request_second_reading
from mlcore.plots.svg import WIDTH
from tests import factories
from tests.web import answered as make
from tests.web.counted import AUGUST, SEPTEMBER, Case, autumn, cases, store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from classifier.models import User
    from tests.conftest import Cast


def counted(cast: Cast, user: User | None = None) -> Counts:
    return count(user or cast.owner, autumn(cast.clinic))


def proven_lesion(cast: Cast, label: str) -> Lesion:
    """Return a lesion that turned out to be a nevus after August's pictures."""
    lesion = Lesion.objects.create(
        clinic=cast.clinic, patient=cast.patient, label=label, created_by=cast.owner
    )
    Outcome.objects.create(
        clinic=cast.clinic,
        patient=cast.patient,
        lesion=lesion,
        number=1,
        kind=OutcomeKind.HISTOPATHOLOGY,
        diagnosis="nevus",
        behaviour=Behaviour.BENIGN,
        found_on=date(2026, 8, 20),
        recorded_by=cast.owner,
    )
    return lesion


def numbers_of(found: Mapping[str, Mapping[Any, Tally | Waits]]) -> dict[str, dict[Any, int]]:
    return {
        question: {key: one.images for key, one in groups.items()}
        for question, groups in found.items()
    }


def test_volume_and_waiting_are_counted_by_month(cast: Cast) -> None:
    minutes = [timedelta(minutes=number) for number in range(1, 42)]
    store(
        [
            *(
                Case(cast.patient, cast.owner, at=AUGUST, waited=waited, reviewed_after=2 * waited)
                for waited in minutes
            ),
            *cases(cast, 2, at=SEPTEMBER, modality=Modality.CLINICAL, top="acne"),
            *cases(cast, 1, at=SEPTEMBER, bare=True),
        ]
    )
    make.at(SEPTEMBER, make.failed(make.bare_image(cast.patient, cast.owner), cast.owner))
    make.at(SEPTEMBER, make.cancelled(make.bare_image(cast.patient, cast.owner), cast.owner))
    store(cases(cast, 5, at=datetime(2026, 7, 31, 23, 59, tzinfo=UTC)))
    found = counted(cast)
    assert found.waits[date(2026, 8, 1)] == Waits(
        images=41, dermoscopy=41, finished=41, due=41, answer=(21 * 60, 39 * 60)
    )
    september = found.waits[date(2026, 9, 1)]
    assert (september.images, september.dermoscopy, september.clinical) == (5, 3, 2)
    assert (september.finished, september.failed, september.cancelled) == (2, 1, 1)
    assert september.waiting == 1
    assert found.all_waits.images == 46


def test_the_time_to_the_first_review_is_counted(cast: Cast) -> None:
    for analysis in store(cases(cast, 3, at=timezone.now() - timedelta(hours=2), final="nevus")):
        save_review(analysis=analysis, by=cast.colleague, verdict="defer", expected_number=1)
    period = Period(timezone.now() - timedelta(days=1), timezone.now(), cast.clinic)
    waits = count(cast.owner, period).all_waits
    assert waits.reviewed == 3
    assert waits.review == pytest.approx((7200, 7200), abs=30)


def test_what_nobody_has_reviewed_was_not_reviewed_within_a_day(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    asked = now - timedelta(hours=30)
    with monkeypatch.context() as earlier:
        earlier.setattr(timezone, "now", lambda: now - timedelta(hours=29))
        store(cases(cast, 24, at=asked, final="nevus"))
    store([*cases(cast, 2, at=asked, final="nevus"), *cases(cast, 6, at=asked)])
    # Nobody can have been late with these.
    store([*cases(cast, 3, at=now, final="nevus"), *cases(cast, 1, at=asked, bare=True)])
    period = Period(now - timedelta(days=2), now + timedelta(hours=1), cast.clinic)
    waits = count(cast.owner, period).waits_by["sex"]["unknown"]
    assert (waits.prompt, waits.due, waits.reviewed) == (24, 32, 29)
    page = figures_page(cast.owner, period, now=now)
    (by_sex,) = [plot.table for plot in page.groups if plot.name == "by-sex"]
    assert by_sex.head[-2:] == ("Reviewed within a day", "of")
    assert by_sex.rows[0][-2:] == ("75 % (58 to 87 %)", "32")


def test_waiting_is_counted_and_shown_of_each_group(cast: Cast) -> None:
    woman = factories.make_patient(cast.clinic, cast.owner, sex=Sex.FEMALE)
    store(
        [
            Case(woman, cast.owner, at=AUGUST, waited=timedelta(minutes=number))
            for number in range(1, 32)
        ]
        + cases(cast, 29, waited=timedelta(hours=9))
        + cases(cast, 1, bare=True, modality=Modality.CLINICAL)
    )
    waits = counted(cast).waits_by
    assert waits["sex"]["female"] == Waits(
        images=31, dermoscopy=31, finished=31, due=31, answer=(16 * 60, 29.5 * 60)
    )
    assert waits["label_set"]["clinical5"] == Waits(images=1)
    # It has no version yet, and another clinic's name is no question here.
    assert waits["version"][("clinical5", None)].waiting == 1
    assert "clinic" not in waits
    page = figures_page(cast.owner, autumn(cast.clinic), now=SEPTEMBER)
    plots = {plot.name: plot for plot in page.waits}
    rows = {name: rest for name, *rest in plots["waits-by-sex"].table.rows}
    few = ["too few to say", "–"]
    assert rows == {"Female": ["31", "16 min", "30 min", *few], "Unknown": ["30", *few, *few]}
    assert len(plots["waits-by-version"].table.rows) == 1
    assert len(plots["waits-by-label-set"].table.rows) == 2
    over_all = figures_page(cast.superuser, autumn(None), now=SEPTEMBER)
    (by_clinic,) = [plot for plot in over_all.waits if plot.name == "waits-by-clinic"]
    assert by_clinic.table.rows[0][:3] == (cast.clinic.name, "61", "30 min")


def test_agreement_is_counted_finally_and_before_the_answer(cast: Cast) -> None:
    store(
        [
            *cases(cast, 4, final="nevus", reading="nevus", confidence=0.95),
            *cases(cast, 2, final="melanoma", reading="nevus", confidence=0.75),
            *cases(cast, 1, final="nevus", reading="melanoma", confidence=0.95),
            *cases(cast, 3, final="nevus", decision=Decision.CANNOT_SAY, reason_code="unsure"),
            *cases(cast, 1, final="nevus", decision=Decision.REJECTED, reason_code="blurred"),
        ]
    )
    found = counted(cast)
    assert replace(found.tally, chance=0.0, chance_decided=0.0) == Tally(
        images=11,
        answers=7,
        cannot_say=3,
        rejected=1,
        decided=7,
        agreed=5,
        read=7,
        read_same=6,
    )
    assert found.tally.chance == pytest.approx(5 * 0.95 + 2 * 0.75)
    bins = {key: (one.decided, one.agreed) for key, one in found.tallies["bin"].items()}
    assert bins == {("isic9", None): (0, 0), ("isic9", 7): (2, 0), ("isic9", 9): (5, 5)}
    reasons = {key: one.images for key, one in found.tallies["reason"].items()}
    assert reasons == {
        ("isic9", "answer", ""): 7,
        ("isic9", "cannot_say", "unsure"): 3,
        ("isic9", "rejected", "blurred"): 1,
    }
    assert found.tallies["pair"][("isic9", "nevus", "melanoma")].decided == 2


def test_the_last_decision_counts_and_a_deferral_is_none(cast: Cast) -> None:
    (analysis,) = store(cases(cast, 1, final="melanoma"))
    analysis.refresh_from_db()
    save_review(analysis=analysis, by=cast.owner, verdict="agree", expected_number=1)
    assert counted(cast).tally.agreed == 1
    save_review(analysis=analysis, by=cast.owner, verdict="defer", expected_number=2)
    # Deferred, it is hidden again from who has not read it; to a clinic without blinding it is not.
    assert counted(cast).tally.images == 0
    cast.clinic.blinded_first = False
    cast.clinic.save()
    assert (counted(cast).tally.decided, counted(cast).tally.agreed) == (1, 1)


def test_a_review_counts_for_the_result_that_it_was_of(cast: Cast) -> None:
    """What was tried again has an answer that nobody has reviewed yet."""
    again, second = store([*cases(cast, 1, final="melanoma"), *cases(cast, 1)])
    again.prediction, again.review_state = second.prediction, ReviewState.PENDING
    again.save()
    cast.clinic.blinded_first = False
    cast.clinic.save()
    found = counted(cast)
    assert (found.tally.answers, found.tally.decided) == (2, 0)
    assert found.all_waits.reviewed == 0
    page = figures_page(cast.owner, autumn(cast.clinic), now=SEPTEMBER)
    assert page.reasons == []


def test_an_outcome_found_afterwards_proves_an_answer(cast: Cast) -> None:
    lesions = [
        Lesion.objects.create(
            clinic=cast.clinic, patient=cast.patient, label=str(number), created_by=cast.owner
        )
        for number in range(4)
    ]
    store([*(case for one in lesions for case in cases(cast, 1, lesion=one, final="nevus"))])
    for lesion, diagnosis, day, withdrawn in (
        (lesions[0], "nevus", 11, False),
        (lesions[1], "melanoma", 10, False),
        (lesions[2], "nevus", 9, False),
        (lesions[3], "nevus", 11, False),
        (lesions[3], "nevus", 11, True),
    ):
        Outcome.objects.create(
            clinic=cast.clinic,
            patient=cast.patient,
            lesion=lesion,
            number=1 + withdrawn,
            kind=OutcomeKind.HISTOPATHOLOGY,
            diagnosis=diagnosis,
            behaviour=Behaviour.BENIGN,
            found_on=date(2026, 8, day),
            withdrawn=withdrawn,
            reason="another lesion's" if withdrawn else "",
            recorded_by=cast.owner,
        )
    tally = counted(cast).tally
    assert (tally.agreed, tally.decided) == (4, 4)
    # Before the picture was taken, and withdrawn: neither proves anything.
    assert (tally.proven_same, tally.proven) == (1, 2)


def test_a_lesion_is_proven_once_by_its_newest_picture(cast: Cast) -> None:
    often, silent = (proven_lesion(cast, name) for name in ("often", "silent"))
    former = factories.make_model_version(active=False, version="0.9.0")
    july = AUGUST - timedelta(days=3)
    facts: dict[str, Any] = {"lesion": often, "final": "nevus"}
    store(
        [
            *cases(cast, 30, **facts, top="melanoma", at=july),
            *cases(cast, 1, **facts, at=AUGUST),
            *cases(cast, 1, **facts, at=july, version=former),
            # Taken after the outcome was found.
            *cases(cast, 1, **facts, top="melanoma", at=SEPTEMBER),
            *cases(cast, 1, lesion=silent, final="nevus", at=july),
            *cases(cast, 1, lesion=silent, final="nevus", decision=Decision.CANNOT_SAY),
        ]
    )
    tallies = counted(cast).tallies
    told = {key: (one.proven_same, one.proven) for key, one in tallies["version"].items()}
    assert told.pop(("isic9", "0.9.0")) == (1, 1)
    assert list(told.values()) == [(1, 1)]
    assert sum(one.proven for one in tallies["bin"].values()) == counted(cast).tally.proven == 2


def test_each_share_stands_at_the_mean_chance_of_its_own_answers(cast: Cast) -> None:
    lesions = [proven_lesion(cast, str(number)) for number in range(30)]
    store(
        [
            *(case for one in lesions for case in cases(cast, 1, lesion=one, confidence=0.98)),
            *cases(cast, 30, final="nevus", confidence=0.90),
        ]
    )
    cast.clinic.blinded_first = False
    cast.clinic.save()
    page = figures_page(cast.owner, autumn(cast.clinic), now=SEPTEMBER)
    (plot,) = page.calibration
    told = dict(zip(enumerate(plot.table.head), plot.table.rows[0], strict=True))
    means = [value for (_place, name), value in told.items() if name == "Mean chance"]
    assert means == ["94 %", "90 %", "98 %"]
    across = {round(float(x)) for x in re.findall(r'x1="([\d.]+)"', plot.svg)}
    left, width = 42, WIDTH - 62
    assert {round(left + width * x) for x in (0.90 - 0.008, 0.98 + 0.008)} <= across


def test_an_answer_to_the_wrong_kind_of_picture_counts_nowhere(cast: Cast) -> None:
    store([*cases(cast, 2, final="nevus"), *cases(cast, 3, final="melanoma", corrected=True)])
    found = counted(cast)
    assert found.all_waits.images == 5
    assert (found.tally.images, found.tally.decided, found.tally.agreed) == (2, 2, 2)


def test_what_is_hidden_from_a_person_is_not_counted_for_them(cast: Cast) -> None:
    """Else today's figures less yesterday's would tell what the one unread image hides."""
    store([*cases(cast, 2, final="nevus"), *cases(cast, 1, decision=Decision.CANNOT_SAY)])
    # Whoever read it may see the answer; colleagues may not, and figures are the same for all.
    store(cases(cast, 1, reading="nevus"))
    mine, theirs = counted(cast).tally, counted(cast, cast.colleague).tally
    assert mine == theirs
    assert (mine.images, mine.cannot_say) == (2, 0)
    assert counted(cast).all_waits.images == 4
    # Reviewed, but one colleague is asked to read it without knowing.
    (again,) = store(cases(cast, 1, final="nevus"))
    assert counted(cast).tally.images == 3
    request_second_reading(analysis=again, by=cast.owner, asked=cast.colleague)
    assert counted(cast).tally == counted(cast, cast.colleague).tally == mine


def test_images_are_parted_by_patient_lesion_and_version(cast: Cast) -> None:
    former = factories.make_model_version(active=False, version="0.9.0")
    old = factories.make_patient(
        cast.clinic, cast.owner, date_of_birth=date(1946, 8, 10), sex=Sex.MALE, skin_type=SkinType.V
    )
    child = factories.make_patient(
        cast.clinic,
        cast.owner,
        date_of_birth=date(2008, 8, 11),
        sex=Sex.FEMALE,
        skin_type=SkinType.I,
    )
    unborn = factories.make_patient(cast.clinic, cast.owner, date_of_birth=date(2028, 1, 1))
    lesion = Lesion.objects.create(
        clinic=cast.clinic, patient=old, label="L", body_site=BodySite.BACK, created_by=cast.owner
    )
    store(
        [
            *cases(cast, 1, patient=old, lesion=lesion, final="nevus", version=former),
            *cases(cast, 2, patient=child, final="nevus"),
            *cases(cast, 3, patient=unborn, final="nevus"),
            *cases(cast, 4, final="nevus"),
        ]
    )
    found = counted(cast).tallies
    numbers = numbers_of(found)
    waited = numbers_of(counted(cast).waits_by)
    for question in ("skin_type", "sex", "age_band", "site", "version"):
        assert waited[question] == numbers[question]
    assert numbers["sex"] == {"male": 1, "female": 2, "unknown": 7}
    assert numbers["skin_type"] == {"V-VI": 1, "I-II": 2, "unknown": 7}
    assert numbers["age_band"] == {5: 1, 1: 2, None: 7}
    assert numbers["site"] == {"back": 1, "unknown": 9}
    assert numbers["version"][("isic9", "0.9.0")] == 1
    assert sum(numbers["version"].values()) == numbers["all"][""] == 10
