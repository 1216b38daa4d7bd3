"""Whether a DICOM object is of the patient, and of the kind of picture, that somebody chose."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from classifier.choices import Modality
from classifier.intake import Refused

if TYPE_CHECKING:
    from datetime import date

    from classifier.intake import Accepted


def check_identity(
    accepted: Accepted, *, number: str, name: str, born: date | None, modality: str
) -> None:
    """Refuse a DICOM object that says that it is somebody else's, or taken otherwise.

    The numbers must agree. A date of birth must agree where both sides know one; where none is
    compared, the names must share a word. A file of another format says nothing of this, and
    passes.

    Args:
        accepted: what the intake made of the file.
        number: the chosen patient's record number.
        name: likewise.
        born: likewise.
        modality: what the person said of the picture, a value of ``Modality``.

    Raises:
        Refused: with the sentence for the person.
    """
    facts = accepted.dicom
    if facts is None:
        return
    if not facts.number:
        raise Refused("dicom_nameless")
    if _folded(facts.number) != _folded(number):
        raise Refused("dicom_other_patient")
    if facts.born and born:
        if facts.born != f"{born:%Y%m%d}":
            raise Refused("dicom_other_patient")
    elif name_words(facts.name) and not name_words(facts.name) & name_words(name):
        raise Refused("dicom_other_patient")
    if facts.modality != modality:
        other = facts.modality == Modality.DERMOSCOPY
        raise Refused("dicom_is_dermoscopy" if other else "dicom_is_clinical")


def _folded(text: str) -> str:
    return text.replace("\\", "/").strip().casefold()


def name_words(name: str) -> set[str]:
    """Return the words of a name without case, accents and signs, for comparing."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    letters = "".join(
        letter if letter.isalnum() else " " for letter in plain if not unicodedata.combining(letter)
    )
    return set(letters.split())
