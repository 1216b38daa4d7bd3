"""The two label sets: order, names, codes and triage groups of every label.

ICD-10 codes were checked by program against the WHO and the CM lists; the doubts are kept beside
them because a code is never sent out as if it were a diagnosis.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Worst first. A wrong "benign" costs most, so what may kill or turn malignant leads; what needs
# treatment follows; what needs only a name comes last.
TRIAGE_ORDER = (
    "skin cancer",
    "pre-cancer",
    "infection",
    "inflammatory",
    "sign, not a disease",
    "pigment disorder",
    "benign lesion",
)
# Rank of an analysis the network could not judge: between what may be cancer and the rest.
UNJUDGED_RANK = 2


class UnknownLabelSetError(ValueError):
    """No label set has this key."""


@dataclass(frozen=True)
class Label:
    """One class of a network.

    Attributes:
        key: stable name in files and in the database.
        name: as shown.
        folder: as the public image sets call it.
        icd10: WHO ICD-10 code.
        icd10_title: what the code says.
        icd10_cm: ICD-10-CM code.
        triage_group: one of :data:`TRIAGE_ORDER`.
        malignant: malignant or pre-malignant.
        doubt: what to mind about the code, or nothing.
    """

    key: str
    name: str
    folder: str
    icd10: str
    icd10_title: str
    icd10_cm: str
    triage_group: str
    malignant: bool
    doubt: str = ""

    @property
    def triage_rank(self) -> int:
        """Return 0 for the worst group."""
        return TRIAGE_ORDER.index(self.triage_group)


@dataclass(frozen=True)
class LabelSet:
    """The ordered labels of one network.

    Attributes:
        key: ``isic9`` or ``clinical5``.
        name: as shown.
        modality: ``dermoscopy`` or ``clinical``; it chooses the network.
        labels: in the order of the network's outputs.
    """

    key: str
    name: str
    modality: str
    labels: tuple[Label, ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the label keys in output order."""
        return tuple(label.key for label in self.labels)

    def label(self, key: str) -> Label:
        """Return a label by key.

        Raises:
            KeyError: the set has no such label.
        """
        for label in self.labels:
            if label.key == key:
                return label
        raise KeyError(key)


_ISIC9 = LabelSet(
    "isic9",
    "Nine dermoscopic lesion types",
    "dermoscopy",
    (
        Label(
            "actinic_keratosis",
            "Actinic keratosis",
            "actinic keratosis",
            "L57.0",
            "Actinic keratosis",
            "L57.0",
            "pre-cancer",
            malignant=True,
            doubt="D04.9 for Bowen disease or intraepithelial carcinoma.",
        ),
        Label(
            "basal_cell_carcinoma",
            "Basal cell carcinoma",
            "basal cell carcinoma",
            "C44.9",
            "Other malignant neoplasms of skin, unspecified",
            "C44.91",
            "skin cancer",
            malignant=True,
            doubt="WHO ICD-10 C44 names the site only, not the cell type.",
        ),
        Label(
            "dermatofibroma",
            "Dermatofibroma",
            "dermatofibroma",
            "D23.9",
            "Other benign neoplasms of skin, unspecified",
            "D23.9",
            "benign lesion",
            malignant=False,
            doubt="A site code is preferred.",
        ),
        Label(
            "melanoma",
            "Melanoma",
            "melanoma",
            "C43.9",
            "Malignant melanoma of skin, unspecified",
            "C43.9",
            "skin cancer",
            malignant=True,
            doubt="D03.9 when in situ.",
        ),
        Label(
            "nevus",
            "Nevus",
            "nevus",
            "D22.9",
            "Melanocytic naevi, unspecified",
            "D22.9",
            "benign lesion",
            malignant=False,
        ),
        Label(
            "pigmented_benign_keratosis",
            "Pigmented benign keratosis",
            "pigmented benign keratosis",
            "L82",
            "Seborrhoeic keratosis",
            "L82.1",
            "benign lesion",
            malignant=False,
            doubt="An umbrella label; L81.4 for a solar lentigo.",
        ),
        Label(
            "seborrheic_keratosis",
            "Seborrheic keratosis",
            "seborrheic keratosis",
            "L82",
            "Seborrhoeic keratosis",
            "L82.1",
            "benign lesion",
            malignant=False,
            doubt="ICD-10-CM L82.0 when inflamed.",
        ),
        Label(
            "squamous_cell_carcinoma",
            "Squamous cell carcinoma",
            "squamous cell carcinoma",
            "C44.9",
            "Other malignant neoplasms of skin, unspecified",
            "C44.92",
            "skin cancer",
            malignant=True,
            doubt="D04.9 when in situ; WHO ICD-10 C44 names the site only.",
        ),
        Label(
            "vascular_lesion",
            "Vascular lesion",
            "vascular lesion",
            "D18.0",
            "Haemangioma, any site",
            "D18.01",
            "benign lesion",
            malignant=False,
            doubt="An umbrella label; I78.1, L98.0 or Q82.5 for other vascular lesions.",
        ),
    ),
)
_CLINICAL5 = LabelSet(
    "clinical5",
    "Five clinical conditions",
    "clinical",
    (
        Label(
            "acne",
            "Acne",
            "acne",
            "L70.9",
            "Acne, unspecified",
            "L70.9",
            "inflammatory",
            malignant=False,
            doubt="L70.0 only if vulgaris is confirmed.",
        ),
        Label(
            "melanoma",
            "Melanoma",
            "melanoma",
            "C43.9",
            "Malignant melanoma of skin, unspecified",
            "C43.9",
            "skin cancer",
            malignant=True,
            doubt="D03.9 when in situ.",
        ),
        Label(
            "peeling_skin",
            "Peeling skin",
            "peeling skin",
            "R23.4",
            "Changes in skin texture",
            "R23.4",
            "sign, not a disease",
            malignant=False,
            doubt="A sign, not a disease; never to be sent as a diagnosis.",
        ),
        Label(
            "ring_worm",
            "Ring worm (tinea)",
            "ring worm",
            "B35.4",
            "Tinea corporis",
            "B35.4",
            "infection",
            malignant=False,
            doubt="B35.0 on the scalp, B35.6 in the groin, B35.9 when the site is not said.",
        ),
        Label(
            "vitiligo",
            "Vitiligo",
            "vitiligo",
            "L80",
            "Vitiligo",
            "L80",
            "pigment disorder",
            malignant=False,
        ),
    ),
)

LABEL_SETS: Mapping[str, LabelSet] = MappingProxyType(
    {_ISIC9.key: _ISIC9, _CLINICAL5.key: _CLINICAL5}
)


def label_set(key: str) -> LabelSet:
    """Return a label set by key.

    Raises:
        UnknownLabelSetError: there is none of this key.
    """
    try:
        return LABEL_SETS[key]
    except KeyError:
        msg = f"There is no label set {key!r}; there are {', '.join(LABEL_SETS)}."
        raise UnknownLabelSetError(msg) from None
