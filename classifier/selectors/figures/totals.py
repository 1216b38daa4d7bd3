"""What was counted of a period's analyses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import date


@dataclass(frozen=True)
class Waits:
    """How many images came in a month, of a group or all together, and how long people waited.

    Attributes:
        images: analyses that were asked for.
        dermoscopy: of these, of dermoscopic images.
        finished: answered or rejected.
        failed: for good.
        cancelled: called off.
        reviewed: looked at by a person.
        due: finished, and asked for more than a day ago.
        prompt: of these, reviewed within a day of the request.
        answer: median and 95th percentile of seconds from the request to the answer, or None.
        review: likewise to the first review.
    """

    images: int = 0
    dermoscopy: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    reviewed: int = 0
    due: int = 0
    prompt: int = 0
    answer: tuple[float, float] | None = None
    review: tuple[float, float] | None = None

    @property
    def clinical(self) -> int:
        """How many are of clinical photographs."""
        return self.images - self.dermoscopy

    @property
    def waiting(self) -> int:
        """How many are neither finished nor given up."""
        return self.images - self.finished - self.failed - self.cancelled


@dataclass(frozen=True)
class Tally:
    """What the network and the clinicians said of a group of images.

    Attributes:
        images: that the network finished with.
        answers: with an answer.
        cannot_say: left to a person.
        rejected: not usable.
        decided: answers with a final decision of a clinician.
        agreed: of these, decided as the network's first label says.
        read: answers that a clinician read before seeing them.
        read_same: of these, read as the network's first label says.
        proven: answers about lesions whose outcome was found afterwards; of each lesion and version
            the one about the newest picture.
        proven_same: of these, the outcome is the network's first label.
        chance: sum of the shown chances of ``answers``.
        chance_decided: likewise of ``decided``.
        chance_proven: likewise of ``proven``.
    """

    images: int = 0
    answers: int = 0
    cannot_say: int = 0
    rejected: int = 0
    decided: int = 0
    agreed: int = 0
    read: int = 0
    read_same: int = 0
    proven: int = 0
    proven_same: int = 0
    chance: float = 0.0
    chance_decided: float = 0.0
    chance_proven: float = 0.0


@dataclass(frozen=True)
class Counts:
    """Everything that was counted of a period.

    Attributes:
        waits_by: by question (``month``, ``sex`` …) and value; the whole period by ``all`` and "".
        tallies: likewise. Reasons are named (label set, decision, code), bins (label set, number
            from 0), pairs (label set, the network's first label, the clinician's final diagnosis).
    """

    waits_by: dict[str, dict[Any, Waits]]
    tallies: dict[str, dict[Any, Tally]]

    @property
    def waits(self) -> dict[date, Waits]:
        """By month, oldest first."""
        return dict(sorted(self.waits_by.get("month", {}).items()))

    def waits_of(self, question: str) -> dict[Any, Waits]:
        """By a question, of the groups that also have a tally."""
        return {key: self.waits_by[question][key] for key in self.tallies[question]}

    @property
    def all_waits(self) -> Waits:
        """Of the whole period."""
        return self.waits_by.get("all", {}).get("", Waits())

    @property
    def tally(self) -> Tally:
        """Of the whole period."""
        return self.tallies["all"].get("", Tally())
