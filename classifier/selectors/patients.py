"""Reads about patients: lists, the search, and one patient's images in time order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Prefetch, Q
from django.db.models.functions import Coalesce

from classifier.choices import Decision
from classifier.models import Analysis, Image, Lesion, Patient
from classifier.selectors.paging import KeysetPage, paginate, paginate_windows
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classifier.models import User
    from mlcore.labels import Label

# What a person reads at a glance while typing; a longer word narrows it down.
SEARCH_RESULTS = 8
_BY_NAME = ("name", "id")


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
    """

    analysis: Analysis
    revealed: bool
    label: Label | None


@dataclass(frozen=True)
class TimelineEntry:
    """One image in a patient's timeline, with its analyses, newest first."""

    image: Image
    analyses: Sequence[TimelineAnalysis] = field(default_factory=list)


def lesions_of(patient: Patient) -> list[Lesion]:
    """Return the patient's lesions, oldest first."""
    return list(patient.lesions.order_by("created_at", "id"))


def timeline(
    patient: Patient, user: User, *, cursor: str = "", lesion: Lesion | None = None
) -> tuple[KeysetPage[Image], list[TimelineEntry]]:
    """Return a page of the patient's images, newest first, with what became of them.

    The time is when the picture was taken, or when it was sent where nobody knows. ``lesion``
    leaves the images of other lesions out.
    """
    images = Image.objects.visible_to(user).filter(patient=patient)
    if lesion is not None:
        images = images.filter(lesion=lesion)
    newest_first = Analysis.objects.for_lists().order_by("-created_at", "-id")
    page = paginate(
        images.annotate(moment=Coalesce("taken_at", "created_at"))
        .select_related("lesion", "uploaded_by")
        .prefetch_related(Prefetch("analyses", queryset=newest_first)),
        order=("-moment", "-id"),
        cursor=cursor,
        size=settings.PAGE_SIZE,
    )
    analyses = [analysis for image in page for analysis in image.analyses.all()]
    revealed = set(
        Analysis.objects.revealed_to(user)
        .filter(pk__in=[analysis.pk for analysis in analyses])
        .values_list("pk", flat=True)
    )
    entries = [
        TimelineEntry(image, [_told(a, revealed=a.pk in revealed) for a in image.analyses.all()])
        for image in page
    ]
    return page, entries


def _told(analysis: Analysis, *, revealed: bool) -> TimelineAnalysis:
    answered = revealed and analysis.decision == Decision.ANSWER
    label = label_set(analysis.label_set).label(analysis.top_label) if answered else None
    return TimelineAnalysis(analysis=analysis, revealed=revealed, label=label)
