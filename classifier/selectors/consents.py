"""What a patient allows now, and what they said before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from classifier.choices import ConsentUse

if TYPE_CHECKING:
    from classifier.models import Consent, Patient


@dataclass(frozen=True)
class UseOfImages:
    """One use and what the patient said about it.

    Attributes:
        use: its name.
        current: the word that counts; None where the patient was not asked.
        earlier: what they said before, newest first.
    """

    use: str
    current: Consent | None
    earlier: list[Consent]


def consents_of(patient: Patient) -> list[UseOfImages]:
    """Return every use with the patient's words about it."""
    said: dict[str, list[Consent]] = {use: [] for use in ConsentUse.values}
    for consent in patient.consents.select_related("recorded_by").order_by("-recorded_at", "-id"):
        said[consent.use].append(consent)
    return [
        UseOfImages(str(ConsentUse(use).label), words[0] if words else None, words[1:])
        for use, words in said.items()
    ]
