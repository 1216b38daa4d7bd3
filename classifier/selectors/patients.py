"""Reads about patients: lists, the search, and one patient's images in time order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, OuterRef, Prefetch, Q
from django.db.models.functions import Coalesce, JSONObject

from classifier.choices import BodySite, Decision
from classifier.models import Analysis, Image, Lesion, Patient, Review
from classifier.selectors.outcomes import outcome_facts
from classifier.selectors.paging import KeysetPage, paginate, paginate_windows
from mlcore.labels import TRIAGE_ORDER, label_set

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence

    from classifier.models import User
    from classifier.models.patients import PatientQuerySet
    from mlcore.labels import Label

# What a person reads at a glance while typing; a longer word narrows it down.
SEARCH_RESULTS = 8
_BY_NAME = ("name", "id")
# When a picture was taken, or when it was sent where nobody knows.
MOMENT = Coalesce("taken_at", "created_at")


def patient_page(
    user: User, *, text: str = "", archived: bool = False, cursor: str = ""
) -> KeysetPage[Patient]:
    """Return a page of the patients a person may see, by name.

    ``text`` holds words that the name or the record number must contain; archived patients are
    left out unless asked for.
    """
    found = Patient.objects.all().matching(text)
    if not archived:
        found = found.filter(archived=False)
    if text.strip() and (few := found.few_keys()) is not None:
        found = Patient.objects.filter(pk__in=few) if few else found.none()

    def window(order: Sequence[str], beyond: Q, most: int) -> Iterable[Patient]:
        rows = found.first_visible_to(user, order=order, size=most, beyond=beyond)
        return rows.select_related("clinic").defer("notes")[:most]

    return paginate_windows(
        window,
        order=_BY_NAME,
        cursor=cursor,
        size=settings.PAGE_SIZE,
        anchors=Patient.objects.visible_to(user),
    )


def find_for_upload(user: User, text: str) -> list[Patient]:
    """Return the first patients matching ``text`` that the person may add images to.

    No text finds nobody: a list of everybody is no answer to "who is it?".
    """
    if not text.strip():
        return []
    found = Patient.objects.filter(archived=False).matching(text)
    first = found.first_writable_by(user, order=_BY_NAME, size=SEARCH_RESULTS)
    return list(first.select_related("clinic").defer("notes")[:SEARCH_RESULTS])


@dataclass(frozen=True)
class TimelineAnalysis:
    """One analysis in a patient's timeline.

    Attributes:
        revealed: whether the person may see what the network said.
        label: the label the network put first; None while there is no answer, where it could
            not say, and where it is hidden from the person.
        group: the worst triage group that is plausible; "" where there is no label.
        review: the last word of a clinician; None where there is none, where it is hidden, and
            where the page does not show it.
    """

    analysis: Analysis
    revealed: bool
    label: Label | None
    group: str = ""
    review: Review | None = None


@dataclass(frozen=True)
class TimelineEntry:
    """One image in a patient's timeline, with its analyses, newest first."""

    image: Image
    analyses: Sequence[TimelineAnalysis] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """A site of the body, and what the patient has there.

    Attributes:
        value: one of ``BodySite``.
        name: for people.
        count: the patient's lesions there.
        chosen: whether the page shows this site only.
    """

    value: str
    name: str
    count: int
    chosen: bool


def patients_with_sites() -> PatientQuerySet:
    """Return patients with their clinic and ``sites``, which :func:`sites_of` reads."""
    here = Lesion.objects.filter(patient=OuterRef("pk")).order_by().values("body_site")
    counted = here.annotate(n=Count("pk")).values(fact=JSONObject(site="body_site", n="n"))
    return Patient.objects.select_related("clinic").annotate(sites=ArraySubquery(counted))


def sites_of(patient: Any, chosen: str = "") -> list[Site]:
    """Return every site of the body; none where the patient has no lesion at all.

    "Unknown" comes last, and only where there is something to find.

    Args:
        patient: of :func:`patients_with_sites`.
        chosen: the site that the page shows only, or "".
    """
    counts = {fact["site"]: fact["n"] for fact in patient.sites}
    if not counts:
        return []
    return [
        Site(value, str(name), counts.get(value, 0), chosen=value == chosen)
        for value, name in BodySite.choices
        if value in counts or value == chosen or value != BodySite.UNKNOWN
    ]


def lesions_of(patient: Patient) -> list[Lesion]:
    """Return the patient's lesions, oldest first."""
    return list(patient.lesions.order_by("created_at", "id"))


def lesion_page(patient: Patient, *, site: str = "", cursor: str = "") -> KeysetPage[Lesion]:
    """Return a page of the patient's lesions, oldest first.

    Each has its ``pictures`` (how many) and its ``known`` outcome (as ``outcome_facts`` reads it).

    Args:
        patient: whose.
        site: leaves those of other sites out, where one is given.
        cursor: of an earlier page.
    """
    lesions = patient.lesions.annotate(pictures=Count("images"), known=outcome_facts("pk"))
    if site:
        lesions = lesions.filter(body_site=site)
    return paginate(lesions, order=("created_at", "id"), cursor=cursor, size=settings.PAGE_SIZE)


def timeline(
    patient: Patient,
    user: User,
    *,
    cursor: str = "",
    lesion: Lesion | None = None,
    site: str = "",
    reviewed: bool = False,
) -> tuple[KeysetPage[Image], list[TimelineEntry]]:
    """Return a page of the patient's images, newest first, with what became of them.

    The time is when the picture was taken, or when it was sent where nobody knows. ``lesion``
    and ``site`` leave the images of other lesions and sites out; ``reviewed`` adds what clinicians
    decided, as far as the person may see it.
    """
    images = Image.objects.visible_to(user).filter(patient=patient)
    if lesion is not None:
        images = images.filter(lesion=lesion)
    if site:
        images = images.filter(lesion__body_site=site)
    open_to_them = Analysis.objects.revealed_to(user).filter(pk=OuterRef("pk")).order_by()
    newest_first = (
        Analysis.objects.annotate(is_revealed=Exists(open_to_them))
        .select_related("model_version")
        .defer("model_version__manifest", "model_version__metrics")
        .order_by("-created_at", "-id")
    )
    page = paginate(
        images.annotate(moment=MOMENT)
        .select_related("lesion", "uploaded_by")
        .prefetch_related(Prefetch("analyses", queryset=newest_first)),
        order=("-moment", "-id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
    )
    revealed = {
        analysis.pk
        for image in page
        for analysis in image.analyses.all()
        if analysis.is_revealed  # type: ignore[attr-defined]  # an annotation
    }
    reviews = last_reviews(revealed) if reviewed else {}
    entries = [
        TimelineEntry(
            image,
            [_told(a, reviews.get(a.pk), revealed=a.pk in revealed) for a in image.analyses.all()],
        )
        for image in page
    ]
    return page, entries


def last_reviews(analyses: Iterable[uuid.UUID]) -> dict[uuid.UUID, Review]:
    """Return the last review of each analysis that has one, with its reviewer; one query.

    Args:
        analyses: keys of analyses that are revealed to whoever will read the answer.
    """
    newest = Review.objects.filter(analysis__in=analyses).select_related("reviewer")
    last = newest.order_by("analysis_id", "-number").distinct("analysis_id")
    return {review.analysis_id: review for review in last}


def _told(analysis: Analysis, review: Review | None, *, revealed: bool) -> TimelineAnalysis:
    answered = revealed and analysis.decision == Decision.ANSWER
    label = label_set(analysis.label_set).label(analysis.top_label) if answered else None
    group = TRIAGE_ORDER[analysis.triage_rank] if label is not None else ""
    return TimelineAnalysis(
        analysis=analysis, revealed=revealed, label=label, group=group, review=review
    )
