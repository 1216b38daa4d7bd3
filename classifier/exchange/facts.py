"""What a report of one analysis holds: plain values, read once, written down in several forms."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from classifier.choices import Verdict
from classifier.wording import term

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence
    from datetime import date, datetime


class Status(enum.Enum):
    """How far a report may be relied on, with HL7's words."""

    PRELIMINARY = "preliminary"
    FINAL = "final"
    AMENDED = "amended"


SIGNING = frozenset({Verdict.AGREE.value, Verdict.OVERRULE.value})


@dataclass(frozen=True)
class Party:
    """A clinic or a person of its staff."""

    key: uuid.UUID
    name: str


@dataclass(frozen=True)
class PatientFacts:
    """Whose picture it is.

    Attributes:
        sex: one of HL7's four administrative words.
        sex_words: the same as shown.
        skin_type: as shown.
    """

    key: uuid.UUID
    number: str
    name: str
    born: date | None
    sex: str
    sex_words: str
    skin_type: str


@dataclass(frozen=True)
class PictureFacts:
    """The picture that was judged.

    Attributes:
        jpeg: the display copy: sRGB, no metadata, longer side at most 1600 px.
        width: of ``jpeg`` in pixels.
        height: likewise.
        modality: a value of ``Modality``.
        site: a value of ``BodySite``; "unknown" where none is recorded.
        lesion: what the team calls the lesion; may be empty.
    """

    key: uuid.UUID
    jpeg: bytes
    width: int
    height: int
    modality: str
    modality_words: str
    lesion: str
    site: str
    site_words: str
    taken_at: datetime | None
    uploaded_at: datetime


@dataclass(frozen=True)
class Chance:
    """One label with its calibrated probability (0 to 1), and the same for people."""

    label: str
    name: str
    probability: float
    percent: str


@dataclass(frozen=True)
class AnswerFacts:
    """What the network said.

    Attributes:
        decision: a value of ``Decision``.
        reason: why it could not say, or why the picture was rejected.
        words: the first probability in a sentence.
        ranked: most probable first; empty where the picture was rejected.
        triage_group: the worst plausible one; "" where nothing can be said of it.
        model: key of the model version.
        sha256: of the release.
        limits: sentences about what the answer cannot do, from the release's card.
        not_for: what the network must not be used for, likewise: "Deciding alone."
    """

    key: uuid.UUID
    decision: str
    decision_words: str
    reason: str
    words: str
    ranked: tuple[Chance, ...]
    triage_group: str
    model: uuid.UUID
    label_set: str
    version: str
    sha256: str
    engine: str
    answered_at: datetime
    limits: tuple[str, ...]
    not_for: tuple[str, ...]

    @property
    def group_words(self) -> str:
        """The worst plausible group in words; "" of a rejected picture, of which nothing is."""
        if not self.ranked:
            return ""
        return term(self.triage_group) or _("cannot be said")


@dataclass(frozen=True)
class ReadingFacts:
    """What a clinician thought. ``diagnosis`` is a label's key or "other"."""

    key: uuid.UUID
    reader: Party
    diagnosis: str
    diagnosis_words: str
    blinded: bool
    at: datetime


@dataclass(frozen=True)
class ReviewFacts:
    """A clinician's verdict on an answer; ``of_answer`` is the key of that answer."""

    key: uuid.UUID
    of_answer: uuid.UUID
    reviewer: Party
    verdict: str
    verdict_words: str
    diagnosis: str
    diagnosis_words: str
    reason: str
    at: datetime


@dataclass(frozen=True)
class OutcomeFacts:
    """What the lesion turned out to be.

    Attributes:
        kind: a value of ``OutcomeKind``.
        diagnosis: a label's key of any label set, or "other".
        behaviour_words: whether it is malignant, as shown.
        reference: the laboratory's number; may be empty.
        corrected: whether something else was recorded before.
    """

    key: uuid.UUID
    recorder: Party
    kind: str
    kind_words: str
    diagnosis: str
    diagnosis_words: str
    behaviour_words: str
    found_on: date
    reference: str
    corrected: bool
    at: datetime


@dataclass(frozen=True)
class Report:
    """One analysis as other systems are told of it.

    Attributes:
        outcome: of the lesion, if there is one that counts.
        outcome_changed_at: when one was recorded, corrected or withdrawn last; None: never.
    """

    key: uuid.UUID
    clinic: Party
    patient: PatientFacts
    picture: PictureFacts
    answer: AnswerFacts
    readings: tuple[ReadingFacts, ...]
    reviews: tuple[ReviewFacts, ...]
    requested_at: datetime
    made_at: datetime
    outcome: OutcomeFacts | None = None
    outcome_changed_at: datetime | None = None

    @property
    def signature(self) -> ReviewFacts | None:
        """The last verdict on this answer that settles it; a deferral settles nothing."""
        signed = _signatures(self.reviews, self.answer.key)
        return signed[-1] if signed else None

    @property
    def status(self) -> Status:
        """Preliminary until a clinician signed this answer; amended once anything followed that.

        What follows is a verdict, a reading, or a word on the outcome: withdrawing it, too.
        """
        if self.signature is None:
            return Status.PRELIMINARY
        first = next(review for review in self.reviews if review.verdict in SIGNING)
        if first is not self.reviews[-1] or self._grew_since(first):
            return Status.AMENDED
        return Status.FINAL

    @property
    def conclusion(self) -> ReviewFacts | None:
        """The verdict that holds: the signature, unless somebody deferred after it."""
        last = self.reviews[-1] if self.reviews else None
        return last if last is not None and last is self.signature else None

    def verdict_words(self, review: ReviewFacts) -> str:
        """Return a verdict in words; one on an answer that this report does not hold says so."""
        if review.of_answer == self.answer.key:
            return review.verdict_words
        return f"{review.verdict_words} ({_('of an earlier answer')})"

    def _grew_since(self, signed: ReviewFacts) -> bool:
        """Tell whether a reading was added, or the outcome changed, after a verdict."""
        return any(at > signed.at for at in self._added())

    def _added(self) -> list[datetime]:
        outcome = [self.outcome_changed_at] if self.outcome_changed_at else []
        return [*(each.at for each in self.readings), *outcome]

    @property
    def changed_at(self) -> datetime:
        """When the last of what it says was written."""
        reviewed = [each.at for each in self.reviews]
        return max([self.answer.answered_at, *self._added(), *reviewed])

    def status_words(self) -> str:
        """Return the status in a sentence."""
        signed = self.signature
        if signed is None:
            return _("Preliminary: no clinician has signed this report yet.")
        words = {"who": signed.reviewer.name, "day": f"{signed.at:%Y-%m-%d %H:%M}"}
        if self.status is Status.FINAL:
            return _("Final: signed by %(who)s on %(day)s.") % words
        if self.conclusion is None:
            return (
                _("Amended: signed by %(who)s on %(day)s; the decision was deferred since.") % words
            )
        if self._grew_since(signed):
            return (
                _("Amended: signed by %(who)s on %(day)s; readings or the outcome changed since.")
                % words
            )
        return _("Amended: signed anew by %(who)s on %(day)s.") % words


def _signatures(reviews: Sequence[ReviewFacts], answer: uuid.UUID) -> list[ReviewFacts]:
    return [each for each in reviews if each.of_answer == answer and each.verdict in SIGNING]
