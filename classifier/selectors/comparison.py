"""Two pictures of one lesion beside each other, and what differs in their answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models import Case, Value, When
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from classifier.choices import Decision
from classifier.models import Analysis, Image
from classifier.selectors.patients import MOMENT, last_reviews
from classifier.selectors.results import percent_of, veil
from classifier.wording import label_name
from mlcore.labels import label_set

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Sequence

    from classifier.models import Lesion, Prediction, Review, User
    from mlcore.labels import Label

# More dates than anybody looks through; older ones are reached from the lesion's page.
MOST_DATES = 100
# Of one picture: one for each version of a network that ever looked at it.
_MOST_ANALYSES = 60


@dataclass(frozen=True)
class Side:
    """One of the two pictures.

    Attributes:
        image: with ``moment``, when it was taken, or sent where nobody knows.
        analysis: whose answer is compared; None where there is none. It is veiled (see
            ``classifier.selectors.results.veil``) where the answer is hidden from the person.
        hidden: an answer exists, and this person must read first.
        newer: another version has judged the picture since; its answer is not the one compared.
        review: the last word of a clinician, as far as the person may see it.
    """

    image: Any
    analysis: Analysis | None = None
    hidden: bool = False
    newer: bool = False
    review: Review | None = None

    @property
    def prediction(self) -> Prediction | None:
        """What the network said, where the person may see it."""
        return None if self.analysis is None or self.hidden else self.analysis.prediction

    @property
    def label(self) -> Label | None:
        """The label put first, where that is an answer."""
        said = self.prediction
        if said is None or self.analysis is None or said.decision != Decision.ANSWER:
            return None
        return label_set(self.analysis.label_set).label(said.top_label)

    @property
    def chances(self) -> dict[str, float]:
        """The calibrated probability of each label, 0 to 1; none of a rejected picture."""
        said = self.prediction
        if said is None or said.decision == Decision.REJECTED:
            return {}
        return dict(said.probabilities)


@dataclass(frozen=True)
class ChanceRow:
    """One probability at both dates.

    Attributes:
        name: of the label, or of the sum.
        first: for people ("37 %"); nothing where it is not known.
        second: likewise.
        change: in words ("12 points more"); nothing where it means nothing.
        is_sum: several labels taken together.
    """

    name: str
    first: str
    second: str
    change: str = ""
    is_sum: bool = False


@dataclass(frozen=True)
class Comparison:
    """Everything the comparison shows.

    Attributes:
        first: the earlier picture.
        second: the later one.
        days: from one local date to the other, 0 or more; None where nobody knows when one of them
            was taken: the day it was sent says nothing of what changed meanwhile.
        warning: why the answers' numbers cannot be compared; nothing where they can.
        chances: one row for each label, the most probable of both dates first; before them the sum
            of all malignant and pre-malignant labels where there are several.
    """

    first: Side
    second: Side
    days: int | None
    warning: str
    chances: list[ChanceRow] = field(default_factory=list)

    @property
    def comparable(self) -> bool:
        """Whether one version of one network has said something of both."""
        return bool(self.chances) and not self.warning

    @property
    def shown(self) -> list[Analysis]:
        """The analyses whose answers the person is shown."""
        sides = (self.first, self.second)
        return [s.analysis for s in sides if s.analysis is not None and s.prediction is not None]


def dates_of(lesion: Lesion, user: User, wanted: Iterable[uuid.UUID] = ()) -> list[Any]:
    """Return the lesion's newest pictures with their ``moment``, newest first.

    Those that nothing else tells apart are numbered (``which``), the earliest first: old images
    are often dated to the day only.

    Args:
        lesion: visible to ``user``.
        user: who looks.
        wanted: keys of pictures that belong to the list however old they are.
    """
    images = Image.objects.visible_to(user).filter(lesion=lesion).annotate(moment=MOMENT)
    keys = list(wanted)
    # Of no keys the condition would become a bare number, which names a column in ORDER BY.
    first = [Case(When(pk__in=keys, then=Value(0)), default=Value(1))] if keys else []
    rows: list[Any] = list(images.order_by(*first, "-moment", "-id")[:MOST_DATES])
    rows.sort(key=lambda image: (image.moment, image.pk))
    alike: dict[Any, list[Any]] = {}
    for image in rows:
        minute = image.moment.replace(second=0, microsecond=0)
        alike.setdefault((minute, image.modality), []).append(image)
    for each in alike.values():
        for number, image in enumerate(each, start=1):
            image.which = (
                _("%(number)d of %(all)d") % {"number": number, "all": len(each)}
                if len(each) > 1
                else ""
            )
    return rows[::-1]


def pair_of(images: Sequence[Any], a: uuid.UUID | None, b: uuid.UUID | None) -> list[Any]:
    """Return two of the pictures, the earlier one first.

    What is not asked for is the newest other picture, taken in the same way if there is one.

    Args:
        images: newest first, with ``moment``.
        a: key of one picture, or None.
        b: key of the other, or None; the same key twice is a pair of one.

    Raises:
        LookupError: a key names none of the pictures, or there are not two.
    """
    by_key = {image.pk: image for image in images}
    chosen = [by_key[key] for key in (a, b) if key is not None]
    for _missing in range(2 - len(chosen)):
        others = [image for image in images if image not in chosen]
        alike = [image for image in others if not chosen or image.modality == chosen[0].modality]
        chosen.append((alike or others)[0])
    return sorted(chosen, key=lambda image: (image.moment, image.pk))


def compare(first: Any, second: Any, user: User) -> Comparison:
    """Return what differs between two pictures of a lesion, as far as the person may see it.

    Answers of one version are compared wherever one version has judged both pictures.

    Args:
        first: the earlier picture, with ``moment``, visible to ``user``.
        second: the later one.
        user: who looks.
    """
    images = (first, second)
    found = list(
        Analysis.objects.visible_to(user)
        .filter(image__in=images)
        .select_related("model_version", "prediction__model_version", "clinic")
        .defer(
            "model_version__manifest",
            "model_version__metrics",
            "prediction__evidence_maps",
            "prediction__model_version__manifest",
            "prediction__model_version__metrics",
        )
        .order_by("-created_at", "-id")[:_MOST_ANALYSES]
    )
    # What was asked of another modality, before it was corrected, says nothing of the image.
    of = [
        [row for row in found if (row.image_id, row.modality) == (image.pk, image.modality)]
        for image in images
    ]
    judged = [[row for row in rows if row.prediction_id] for rows in of]
    chosen = _of_one_version(judged) or [
        next(iter(answers or rows), None) for answers, rows in zip(judged, of, strict=True)
    ]
    told = [row.pk for row in chosen if row is not None]
    revealed = set(
        Analysis.objects.revealed_to(user).filter(pk__in=told).values_list("pk", flat=True)
    )
    reviews = last_reviews(revealed)
    one, other = (
        _side(image, row, newest[:1], reviews, revealed)
        for image, row, newest in zip(images, chosen, judged, strict=True)
    )
    warning = _warning(one, other)
    return Comparison(one, other, _days(*images), warning, _chances(one, other, warning))


def _days(first: Any, second: Any) -> int | None:
    if first.taken_at is None or second.taken_at is None:
        return None
    return (timezone.localdate(second.taken_at) - timezone.localdate(first.taken_at)).days


def _of_one_version(judged: Sequence[Sequence[Analysis]]) -> list[Analysis | None]:
    """Return the newest pair of answers that one version gave, or nothing."""
    for row in judged[1]:
        for earlier in judged[0]:
            if row.prediction and earlier.prediction:
                one, other = earlier.prediction, row.prediction
                if one.model_version_id == other.model_version_id:
                    return [earlier, row]
    return []


def _side(
    image: Any,
    analysis: Analysis | None,
    newest: Sequence[Analysis],
    reviews: dict[uuid.UUID, Review],
    revealed: set[uuid.UUID],
) -> Side:
    if analysis is None:
        return Side(image)
    hidden = analysis.prediction_id is not None and analysis.pk not in revealed
    if hidden:
        veil(analysis)
    newer = bool(newest) and newest[0].pk != analysis.pk
    return Side(image, analysis, hidden, newer, reviews.get(analysis.pk))


def _warning(first: Side, second: Side) -> str:
    """Return why two answers cannot be compared, where both pictures were judged."""
    if first.image.modality != second.image.modality:
        return _(
            "One picture is a dermoscopic image, the other a clinical photograph. Different "
            "networks with different labels look at them: their answers cannot be compared."
        )
    versions = [
        side.analysis.prediction.model_version
        for side in (first, second)
        if side.analysis is not None and side.analysis.prediction is not None
    ]
    if len(versions) == len((first, second)) and versions[0] != versions[1]:
        return _(
            "These answers come from different versions of the network (%(first)s and %(second)s). "
            "They cannot be compared: a difference may come from the network alone."
        ) % {"first": versions[0].version, "second": versions[1].version}
    return ""


def _chances(first: Side, second: Side, warning: str) -> list[ChanceRow]:
    """Return the rows of the table; none where no side shows a probability, or no label is shared.

    What is hidden from the person is in no row, and orders none.
    """
    one, other = first.chances, second.chances
    said = first.analysis if one else second.analysis
    if said is None or not (one or other) or first.image.modality != second.image.modality:
        return []
    labels = label_set(said.label_set).labels
    rows = [
        _row(label_name(label), one.get(label.key), other.get(label.key), warning)
        for label in labels
    ]
    order = [max(one.get(label.key, 0), other.get(label.key, 0)) for label in labels]
    ranked = [row for _p, row in sorted(zip(order, rows, strict=True), key=lambda pair: -pair[0])]
    bad = [label.key for label in labels if label.malignant]
    if len(bad) < 2:  # noqa: PLR2004 - a sum of one says nothing new
        return ranked
    name = _("Any cancer or pre-cancer")
    return [_row(name, _sum(one, bad), _sum(other, bad), warning, is_sum=True), *ranked]


def _sum(chances: dict[str, float], keys: Sequence[str]) -> float | None:
    """Return the probability of any of the labels; None where nothing is said."""
    return sum(chances[key] for key in keys) if chances else None


def _in_points(points: int) -> str:
    """Return a change of a probability in words; points are hundredths of certainty."""
    if not points:
        return _("about the same")
    more = ngettext("%(count)d point more", "%(count)d points more", points)
    less = ngettext("%(count)d point less", "%(count)d points less", -points)
    return (more if points > 0 else less) % {"count": abs(points)}


def _row(
    name: str, first: float | None, second: float | None, warning: str, *, is_sum: bool = False
) -> ChanceRow:
    change = ""
    if first is not None and second is not None and not warning:
        change = _in_points(round((second - first) * 100))
    one, other = ("" if value is None else percent_of(value) for value in (first, second))
    return ChanceRow(name, one, other, change=change, is_sum=is_sum)
