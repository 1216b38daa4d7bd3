"""Who may read an image again, what different people said of it, and the lists of both."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import (
    BooleanField,
    CharField,
    Exists,
    ExpressionWrapper,
    F,
    OuterRef,
    Prefetch,
    Q,
)
from django.db.models.functions import Cast
from django.utils import timezone

from classifier.choices import Decision, Difference
from classifier.models import (
    OTHER_DIAGNOSIS,
    Analysis,
    AuditEvent,
    Clinic,
    Disagreement,
    Reading,
    ReadingRequest,
    Review,
    User,
)
from classifier.querysets.people import WRITING_ROLES
from classifier.selectors.paging import KeysetPage, paginate
from classifier.selectors.results import ANSWER_VIEWED, diagnosis_name, veil
from classifier.selectors.workplace import MOST_COUNTED
from mlcore.labels import LABEL_SETS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from classifier.selectors.results import ResultPage


@dataclass(frozen=True)
class Opinion:
    """A diagnosis that somebody or the network holds: a label's key, or "other" with words."""

    diagnosis: str
    text: str = ""


def difference_between(one: Opinion, other: Opinion, label_set: str) -> Difference | None:
    """Return in what two opinions differ; None where they are the same.

    What is written out in words belongs to no triage group that anybody knows: "melanoma in situ"
    may be a worse one than the label it stands against, so it counts as another group and never
    sinks below those that are.
    """
    if one.diagnosis == other.diagnosis:
        same = one.text.strip().casefold() == other.text.strip().casefold()
        return None if same or one.diagnosis != OTHER_DIAGNOSIS else Difference.GROUP
    groups = {label.key: label.triage_group for label in LABEL_SETS[label_set].labels}
    mine, theirs = groups.get(one.diagnosis), groups.get(other.diagnosis)
    return Difference.LABEL if mine is not None and mine == theirs else Difference.GROUP


def worst_difference(found: Iterable[Difference | str | None]) -> Difference | None:
    """Return the worst of several differences; None where there is none."""
    there = {each for each in found if each is not None}
    return next((each for each in Difference if each in there), None)


def possible_readers(analysis: Analysis, by: User) -> QuerySet[User]:
    """Return the colleagues who can still read the image without knowing what others think.

    Clinicians of the clinic, not ``by``, who neither read the image nor reviewed its answer, and
    were never shown it.
    """
    readers = _unspoilt(analysis.clinic_id, analysis.pk).exclude(pk=by.pk)
    return readers.order_by("last_name", "first_name", "email")


def _unspoilt(clinic: Any, analysis: Any) -> QuerySet[User]:
    """Return the clinic's clinicians who do not know what is thought of the analysis.

    Args:
        clinic: its key, or where a query finds it.
        analysis: likewise, for a query one further in.
    """
    seen = AuditEvent.objects.filter(
        subject_type="analysis",
        subject_id=Cast(analysis, CharField()),
        action=ANSWER_VIEWED,
        actor__isnull=False,
    )
    return (
        User.objects.filter(
            is_active=True,
            memberships__clinic=clinic,
            memberships__role__in=WRITING_ROLES,
        )
        .exclude(pk__in=Reading.objects.filter(analysis=analysis).values("reader"))
        .exclude(pk__in=Review.objects.filter(analysis=analysis).values("reviewer"))
        .exclude(pk__in=seen.values("actor"))
    )


def count_disagreements(user: User) -> int:
    """Return how many disagreements wait that the person may see, likewise."""
    return Disagreement.objects.open().shown_to(user)[: MOST_COUNTED + 1].count()


def requests_asking(user: User, *, cursor: str = "") -> KeysetPage[ReadingRequest]:
    """Return a page of what the person is asked to read, oldest first.

    The analyses are veiled: nothing of the answer is in what is returned.
    """
    page = paginate(
        _with_analyses(ReadingRequest.objects.asking(user)),
        order=("created_at", "id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=ReadingRequest.objects.visible_to(user),
    )
    for request in page:
        veil(request.analysis)
    return page


def requests_made(user: User, *, cursor: str = "") -> KeysetPage[ReadingRequest]:
    """Return a page of what the person asked colleagues to read, newest first.

    Each row tells whether whoever is asked can still read it blinded (``can_be_answered``): they
    may have lost their role or their account, or have been shown the answer at that moment. One
    about an analysis that was made for the wrong modality rests.
    """
    readers = _unspoilt(OuterRef("clinic"), OuterRef(OuterRef("analysis")))
    somebody = Q(asked__isnull=True) & Exists(readers.exclude(pk=OuterRef("requested_by")))
    mine = (
        ReadingRequest.objects.visible_to(user)
        .filter(requested_by=user)
        .annotate(
            can_be_answered=ExpressionWrapper(
                Q(analysis__modality=F("analysis__image__modality"))
                & (somebody | Exists(readers.filter(pk=OuterRef("asked")))),
                output_field=BooleanField(),
            )
        )
    )
    return paginate(
        _with_analyses(mine).select_related("reading__reader", "asked"),
        order=("-created_at", "-id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
    )


def _with_analyses(rows: QuerySet[ReadingRequest]) -> QuerySet[ReadingRequest]:
    return rows.select_related(
        "analysis__patient", "analysis__image__lesion", "analysis__clinic", "requested_by"
    ).defer("analysis__patient__notes")


@dataclass(frozen=True)
class Held:
    """What one person, or the network, holds of an image.

    Attributes:
        who: the person's name; empty for the network.
        before: what they read, as shown; empty where they saved no reading.
        read_at: when; None likewise.
        blinded: whether the answer was hidden from them then.
        shown_at: when the answer was first shown to them; None where it never was, or where
            nobody asked.
        after: the diagnosis of their last review, as shown; of the network its first label.
        decided_at: when.
        changed: whether they say something else after the answer than before it.
    """

    who: str
    before: str = ""
    read_at: datetime | None = None
    blinded: bool = False
    shown_at: datetime | None = None
    after: str = ""
    decided_at: datetime | None = None
    changed: bool = False


def opinions(
    analysis: Analysis, readings: Sequence[Reading], reviews: Sequence[Review], looks: User
) -> list[Held]:
    """Return what everybody said before and after they saw the answer, first readers first.

    Args:
        analysis: revealed to whoever looks.
        readings: of it, with their readers, and annotated with when the answer was first shown to
            them (``shown_at``).
        reviews: of it, with their reviewers, in the order of their numbers, annotated likewise.
        looks: who looks; whoever did not see the answer before sees it now.
    """
    shown = {row.reviewer_id: getattr(row, "shown_at", None) for row in reviews}
    shown |= {row.reader_id: getattr(row, "shown_at", None) for row in readings}
    # The look is recorded once it is clear what is shown: not yet, when the page was put together.
    shown[looks.pk] = shown.get(looks.pk) or timezone.now()
    return _everybody(analysis, readings, reviews, shown)


def _everybody(
    analysis: Analysis,
    readings: Sequence[Reading],
    reviews: Sequence[Review],
    shown: Mapping[Any, datetime | None],
) -> list[Held]:
    read = {row.reader_id: row for row in readings}
    decided = {row.reviewer_id: row for row in reviews if row.diagnosis}
    names = {row.reader_id: str(row.reader) for row in readings}
    names |= {row.reviewer_id: str(row.reviewer) for row in reviews if row.diagnosis}
    return [
        _held(name, read.get(key), decided.get(key), shown.get(key), analysis.label_set)
        for key, name in names.items()
    ]


def _held(
    who: str,
    reading: Reading | None,
    review: Review | None,
    shown_at: datetime | None,
    label_set: str,
) -> Held:
    before = Opinion(reading.diagnosis, reading.diagnosis_text) if reading else None
    after = Opinion(review.diagnosis, review.diagnosis_text) if review else None
    changed = (
        before is not None
        and after is not None
        and difference_between(before, after, label_set) is not None
    )
    return Held(
        who=who,
        before=diagnosis_name(before.diagnosis, before.text, label_set) if before else "",
        read_at=reading.created_at if reading else None,
        blinded=bool(reading and reading.blinded),
        shown_at=shown_at,
        after=diagnosis_name(after.diagnosis, after.text, label_set) if after else "",
        decided_at=review.created_at if review else None,
        changed=changed,
    )


@dataclass(frozen=True)
class SecondOpinion:
    """What the result page shows of other readers, as far as the person may know.

    Attributes:
        request: the open request for a second reading, with who asked and who is asked.
        asks_me: whether it asks the person who looks.
        can_withdraw: whether that person may take it back.
        differs: in what opinions differ while nobody has decided; empty where they do not, and
            where the person must not know.
        readers_differ: whether people differ among themselves, so that a decision says why.
        held: what everybody said before and after the answer; empty likewise.
    """

    request: ReadingRequest | None = None
    asks_me: bool = False
    can_withdraw: bool = False
    differs: str = ""
    readers_differ: bool = False
    held: Sequence[Held] = ()


def second_opinion(page: ResultPage, user: User) -> SecondOpinion:
    """Return what the result page shows of other readers."""
    analysis = page.analysis
    if analysis.prediction_id is None:
        return SecondOpinion()
    opened = ReadingRequest.objects.select_related("requested_by", "asked")
    request = opened.filter(pk=page.request_key).first() if page.request_key else None
    if page.hidden:
        mine = request is not None and asks(request, user)
        return SecondOpinion(request=request if mine else None, asks_me=mine)
    return SecondOpinion(
        request=request,
        can_withdraw=request is not None and may_withdraw(request, user),
        differs=str(Difference(page.difference).label) if page.difference else "",
        readers_differ=bool(page.difference) and _differ(page),
        held=opinions(analysis, page.readings, page.reviews, user),
    )


def may_withdraw(request: ReadingRequest, user: User) -> bool:
    """Tell whether the person asked, or administers the clinic and is not the one who is asked.

    Whoever is asked would lift their own blinding by it.
    """
    if request.requested_by_id == user.pk:
        return True
    heads = Clinic.objects.administered_by(user).filter(pk=request.clinic_id)
    return heads.exists() and not asks(request, user)


def asks(request: ReadingRequest, user: User) -> bool:
    """Tell whether a request asks the person now, by name or as one of the clinic."""
    return ReadingRequest.objects.asking(user).filter(pk=request.pk).exists()


def _differ(page: ResultPage) -> bool:
    decided = {row.reviewer_id: row for row in page.reviews if row.diagnosis}
    held = people_hold(
        [(row.reviewer_id, row.diagnosis, row.diagnosis_text) for row in decided.values()],
        [(row.reader_id, row.diagnosis, row.diagnosis_text) for row in page.readings],
    )
    return people_differ(held, page.analysis.label_set)


def people_hold(
    decided: Iterable[tuple[Any, str, str]], read: Iterable[tuple[Any, str, str]]
) -> list[Opinion]:
    """Return one opinion of each person: what they read; of who only reviewed it, their review.

    Args:
        decided: (person, diagnosis, words) of reviews, oldest first.
        read: likewise of readings.
    """
    held = {key: Opinion(diagnosis, text) for key, diagnosis, text in (*decided, *read)}
    return list(held.values())


def people_differ(held: Sequence[Opinion], label_set: str) -> bool:
    """Tell whether any two opinions differ."""
    return any(difference_between(*pair, label_set) for pair in combinations(held, 2))


@dataclass(frozen=True)
class QueuedDisagreement:
    """One line of the queue.

    Attributes:
        row: the disagreement, with its analysis.
        network: the network's first label as shown; empty where it gave none.
        held: what people said.
        group_unknown: whether somebody said it in words that belong to no known triage group.
    """

    row: Disagreement
    network: str
    held: list[Held]
    group_unknown: bool = False


def disagreement_queue(
    user: User, *, cursor: str = ""
) -> tuple[KeysetPage[Disagreement], list[QueuedDisagreement]]:
    """Return a page of open disagreements: triage groups first, then the longest open."""
    shown = Disagreement.objects.open().shown_to(user)
    page = paginate(
        shown.select_related("analysis__patient", "analysis__image__lesion", "analysis__clinic")
        .defer("analysis__patient__notes")
        .prefetch_related(
            Prefetch[Any]("analysis__readings", queryset=Reading.objects.select_related("reader")),
            Prefetch[Any]("analysis__reviews", queryset=Review.objects.select_related("reviewer")),
        ),
        order=("difference", "opened_at", "id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=Disagreement.objects.shown_to(user),
    )
    return page, [_queued(row) for row in page]


def _queued(row: Disagreement) -> QueuedDisagreement:
    analysis = row.analysis
    answered = analysis.decision == Decision.ANSWER
    network = diagnosis_name(analysis.top_label, "", analysis.label_set) if answered else ""
    readings, reviews = list(analysis.readings.all()), list(analysis.reviews.all())
    everybody = _everybody(analysis, readings, reviews, {})
    said = [each.diagnosis for each in readings] + [each.diagnosis for each in reviews]
    return QueuedDisagreement(row, network, everybody, group_unknown=OTHER_DIAGNOSIS in said)
