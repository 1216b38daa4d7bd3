"""Whether a picture gets an answer: quality first, then the gate, then the network's own doubt."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlcore.outside import LABELS, NOT_SKIN, OTHER_KIND

if TYPE_CHECKING:
    from mlcore.quality import Fault

ANSWER, CANNOT_SAY, REJECTED = "answer", "cannot_say", "rejected"
UNSURE = "unsure"
OUTSIDE_LABELS = "outside_labels"
UNSURE_SENTENCE = (
    "The network is not sure enough: its first answer has {percent} % where {needed} % are needed. "
    "A person must judge."
)
NOT_SKIN_SENTENCE = (
    "This does not look like a picture of skin. Check that it is the right file, or take a picture "
    "of the skin change filling most of the frame."
)
LABELS_SENTENCE = (
    "The picture looks unlike the conditions that this network knows. A person must judge."
)
OTHER_KIND_SENTENCES = {
    "dermoscopy": (
        "This does not look like a dermoscopic picture, and this network knows no other. Take one "
        "with a dermatoscope, or send the picture as a clinical photograph."
    ),
    "clinical": (
        "This does not look like a clinical photograph, and this network knows no other. Take one "
        "without a dermatoscope, or send the picture as a dermoscopic one."
    ),
}


@dataclass(frozen=True)
class Decision:
    """What becomes of a picture.

    Attributes:
        kind: ``answer``, ``cannot_say`` or ``rejected``.
        code: why it is not an answer, or "".
        reason: the same as a plain sentence, or "".
    """

    kind: str
    code: str = ""
    reason: str = ""


def decide(
    fault: Fault | None, verdict: str, confidence: float, *, needed: float, modality: str
) -> Decision:
    """Return what becomes of a picture.

    Args:
        fault: what the quality gate says.
        verdict: what :meth:`mlcore.outside.Gate.verdicts` says, or "".
        confidence: calibrated probability of the first label.
        needed: least confidence for an answer.
        modality: of the label set.
    """
    if fault is not None:
        return Decision(REJECTED, fault.code, fault.sentence)
    if verdict == NOT_SKIN:
        return Decision(REJECTED, NOT_SKIN, NOT_SKIN_SENTENCE)
    if verdict == OTHER_KIND:
        return Decision(CANNOT_SAY, OUTSIDE_LABELS, OTHER_KIND_SENTENCES[modality])
    if verdict == LABELS:
        return Decision(CANNOT_SAY, OUTSIDE_LABELS, LABELS_SENTENCE)
    if confidence < needed:
        # As the probability is shown, unless the two would read alike.
        wants = math.ceil(round(needed * 100, 6))
        has = min(round(confidence * 100), wants - 1)
        reason = UNSURE_SENTENCE.format(percent=has, needed=wants)
        return Decision(CANNOT_SAY, UNSURE, reason)
    return Decision(ANSWER)
