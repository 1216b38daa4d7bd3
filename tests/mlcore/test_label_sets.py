"""The two label sets against what they must be."""

from __future__ import annotations

import re

import pytest

from mlcore.drawing import CLINICAL_KINDS, DERMOSCOPY_KINDS
from mlcore.labels import (
    LABEL_SETS,
    TRIAGE_ORDER,
    UNJUDGED_RANK,
    Label,
    UnknownLabelSetError,
    label_set,
)

# WHO code, ICD-10-CM code, triage group: from the project's checked table of codes.
CODES = {
    "acne": ("L70.9", "L70.9", "inflammatory"),
    "melanoma": ("C43.9", "C43.9", "skin cancer"),
    "peeling_skin": ("R23.4", "R23.4", "sign, not a disease"),
    "ring_worm": ("B35.4", "B35.4", "infection"),
    "vitiligo": ("L80", "L80", "pigment disorder"),
    "actinic_keratosis": ("L57.0", "L57.0", "pre-cancer"),
    "basal_cell_carcinoma": ("C44.9", "C44.91", "skin cancer"),
    "dermatofibroma": ("D23.9", "D23.9", "benign lesion"),
    "nevus": ("D22.9", "D22.9", "benign lesion"),
    "pigmented_benign_keratosis": ("L82", "L82.1", "benign lesion"),
    "seborrheic_keratosis": ("L82", "L82.1", "benign lesion"),
    "squamous_cell_carcinoma": ("C44.9", "C44.92", "skin cancer"),
    "vascular_lesion": ("D18.0", "D18.01", "benign lesion"),
}
EVERY_LABEL = [
    pytest.param(label, id=f"{key}-{label.key}")
    for key, labels in LABEL_SETS.items()
    for label in labels.labels
]


def test_the_sets_are_the_ones_the_project_is_for() -> None:
    assert {key: (s.modality, len(s.labels)) for key, s in LABEL_SETS.items()} == {
        "isic9": ("dermoscopy", 9),
        "clinical5": ("clinical", 5),
    }
    every = {key for labels in LABEL_SETS.values() for key in labels.keys}
    assert every == set(CODES)


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_codes_and_groups_are_the_checked_ones(label: Label) -> None:
    assert (label.icd10, label.icd10_cm, label.triage_group) == CODES[label.key]


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_a_code_has_the_form_of_icd_10(label: Label) -> None:
    assert re.fullmatch(r"[A-TV-Z]\d\d(\.\d)?", label.icd10)
    assert re.fullmatch(r"[A-TV-Z]\d[\dAB](\.[\dA-Z]{1,4})?", label.icd10_cm)
    assert label.icd10_title


@pytest.mark.parametrize("label", EVERY_LABEL)
def test_cancer_and_only_cancer_counts_as_dangerous(label: Label) -> None:
    assert label.malignant == (label.triage_group in {"skin cancer", "pre-cancer"})
    # Chapter II of ICD-10: C00 to C97 are the malignant neoplasms.
    assert not label.icd10.startswith("C") or label.malignant


def test_the_order_of_labels_is_that_of_the_public_folders() -> None:
    for labels in LABEL_SETS.values():
        folders = [label.folder for label in labels.labels]
        assert folders == sorted(folders)
        assert [label.key for label in labels.labels] == [f.replace(" ", "_") for f in folders]


def test_the_worst_group_leads_and_what_is_unjudged_follows_what_may_be_cancer() -> None:
    assert TRIAGE_ORDER[:UNJUDGED_RANK] == ("skin cancer", "pre-cancer")
    ranks = [label_set("isic9").label(key).triage_rank for key in ("melanoma", "nevus")]
    assert ranks == [0, len(TRIAGE_ORDER) - 1]
    used = {label.triage_group for s in LABEL_SETS.values() for label in s.labels}
    assert used == set(TRIAGE_ORDER)


def test_a_doubtful_code_says_so() -> None:
    assert "not a disease" in label_set("clinical5").label("peeling_skin").doubt
    assert "D03.9" in label_set("isic9").label("melanoma").doubt


def test_every_label_can_be_drawn() -> None:
    assert set(DERMOSCOPY_KINDS) == set(label_set("isic9").keys)
    assert set(CLINICAL_KINDS) == set(label_set("clinical5").keys)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UnknownLabelSetError, match="there are isic9, clinical5"):
        label_set("isic10")
    with pytest.raises(KeyError):
        label_set("isic9").label("acne")
