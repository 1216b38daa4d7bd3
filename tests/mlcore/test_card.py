"""The card: what was measured, what not to do, and releases of every age."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcore.card import card_sections, render_card, side_by_side
from mlcore.card.blocks import Grid
from mlcore.evaluate import evaluate, operating_point, slices
from mlcore.figures import bootstrap
from mlcore.labels import label_set

RELEASES = Path(__file__).parents[2] / "mlcore" / "releases"
HEADINGS = (
    "## Summary",
    "## Mechanism",
    "## Use",
    "## Not for",
    "## Data",
    "## Figures",
    "## Weak spots",
    "## Warnings",
    "## Other information",
)
MANIFEST = {
    "label_set": "clinical5",
    "version": "1.2.3",
    "made_at": "2026-11-21",
    "licence": "Research build.",
    "network": "lite0",
    "input_side": 224,
    "recipe": {"name": "clinical5_lite0"},
    "seed": 1,
    "best_epoch": 4,
    "temperature": 1.5,
    "answer_threshold": 0.5,
    "triage_threshold": 0.3,
    "test_looks": 2,
    "data": {"train": {"images": 400, "sha256": "ab" * 32}, "test": {"images": 20}},
    "files": {"model.tflite": {"sha256": "cd" * 32}, "golden-acne.png": {"sha256": "ef" * 32}},
}


@pytest.fixture(scope="module")
def table() -> dict[str, Any]:
    """Return figures of 20 answers: melanoma half found, the rest right, no vitiligo."""
    keys = label_set("clinical5").keys
    truth = np.array([keys.index(k) for k in ["acne"] * 6 + ["melanoma"] * 8 + ["ring_worm"] * 6])
    guess = truth.copy()
    guess[6:11] = keys.index("ring_worm")
    chances = np.full((20, 5), 0.025)
    chances[np.arange(20), guess] = 0.9
    groups = [str(n // 2) for n in range(20)]
    answers = ("clinical5", truth, chances, groups)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap, "REPLICATES", 100)
        figures = evaluate(*answers)
        figures["operating_point"] = operating_point(*answers, answer=0.5, triage=0.3)
        facts = [{"sex": "male"}] * 20
        figures["sliced"] = slices(*answers, facts, triage=0.3, measured_on="test images")
    return figures


def _metrics(table: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(("validation", "calibration", "test"), table)


def test_the_card_tells_what_was_measured_and_what_not_to_do(table: dict[str, Any]) -> None:
    card = render_card(MANIFEST, _metrics(table), plots=["plot-test-confusion.svg"])
    assert card.startswith("# Five clinical conditions: clinical5 1.2.3\n")
    assert [line for line in card.splitlines() if line.startswith("## ")] == [
        *HEADINGS,
        "## Plots",
    ]
    low, high = table["figures"]["accuracy"]["interval"]
    assert f"| Accuracy | 0.750 ({low:.3f} to {high:.3f}) |" in card
    assert "looked at 2 times, this" in card
    assert "| Melanoma (too few to say) | 8 | 1.00 (" in card
    assert "best epoch 5" in card
    assert "Research build." in card
    assert "not defined" in card
    assert "CC BY-NC-ND 3.0 NZ" in card
    assert "ab" * 32 in card
    assert "cd" * 32 in card
    assert "ef" * 32 not in card
    assert "![Test confusion](plot-test-confusion.svg)" in card


def test_shortfalls_are_said_and_not_left_to_be_found(table: dict[str, Any]) -> None:
    def measured(value: float) -> dict[str, Any]:
        balanced = {"value": value, "interval": [value - 0.1, value + 0.1]}
        return table | {"figures": table["figures"] | {"balanced_accuracy": balanced}}

    splits = {"validation": measured(0.85), "test": measured(0.6)}
    card = render_card(MANIFEST, _metrics(table) | splits)
    assert "- Of 8 test images of melanoma, 3 were given that label first.\n" in card
    assert "images of acne" not in card
    error = table["figures"]["calibration_error"]["value"]
    assert error == pytest.approx(0.15)
    assert f"- On the test images the probabilities are off by {error:.2f} on average" in card
    missed = "- At the triage threshold 62 % of the malignant or pre-malignant test images"
    assert missed in card
    fall = "- Balanced accuracy falls from 0.85 on the validation images to 0.60 on the test images"
    assert fall in card
    # Within what chance allows nothing has fallen.
    assert "falls" not in render_card(MANIFEST, splits | {"validation": measured(0.65)})


def test_what_newer_releases_measure_is_shown(table: dict[str, Any]) -> None:
    shares = {"value": 0.96, "interval": [0.94, 0.975]}
    metrics = _metrics(table) | {
        "cross_validation": table | {"folds": 5},
        "ham7_cross_validation": {
            "images": 9445,
            "figures": {"balanced_accuracy": shares, "recall_mel": shares},
        },
        "outside": [
            {
                "set": "not skin",
                "images": 500,
                "rejected": shares,
                "cannot_say": {"value": 0.0, "interval": None},
                "answered": 0.04,
            }
        ],
        "slices": table["sliced"],
    }
    card = render_card(MANIFEST, metrics)
    assert "| measure | test | cross-validation, 5 folds | validation | calibration |" in card
    assert "**By label, cross-validation, 5 folds**" in card
    assert "each fold's come from the other folds" in card
    assert "9445 images" in card
    assert "| Recall, Melanoma (mel) | 0.960 (0.940 to 0.975) |" in card
    assert "| not skin | 500 | 96 % (94 to 98 %) | 0 % | 4 % |" in card
    assert "| Sex: male | 20 | too few to say | too few to say | too few to say |" in card


def test_the_gates_are_told_of_where_there_are_any(table: dict[str, Any]) -> None:
    plain = render_card(MANIFEST, _metrics(table))
    assert "| Before an answer | not recorded |" in plain
    assert "gates that refuse" not in plain
    gated = render_card(MANIFEST | {"gate": {}, "quality": {}}, _metrics(table))
    assert "image quality: blur, exposure and contrast" in gated
    assert "whether the picture is skin" in gated
    assert "gates that refuse" in gated


def test_a_card_promises_no_more_of_its_parts_than_is_known() -> None:
    before, now = render_card(MANIFEST, {}), render_card(MANIFEST | {"same_patients": 52}, {})
    assert "All figures of this release are too good" in before
    assert "All figures of this release are too good" not in now
    assert "found by eye (52 pairs)" in now
    dermoscopic = MANIFEST | {"label_set": "isic9", "network": "lite0"}
    assert "do not say which images show one lesion" in render_card(dermoscopic, {})
    for card in (before, now):
        assert "No lesion and no" not in card


def test_a_release_says_its_own_data_and_weak_spots(table: dict[str, Any]) -> None:
    own = {"data_note": "Drawn pictures.", "weak_spots": ["Drawings only."]}
    card = render_card(MANIFEST | own, _metrics(table))
    assert "\nDrawn pictures.\n" in card
    assert "- Drawings only.\n" in card
    assert "Fewer than 400" not in card


@pytest.mark.parametrize("key", ["isic9", "clinical5"])
def test_the_first_releases_still_have_a_card(key: str) -> None:
    folder = RELEASES / key / "1.0.0"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    card = render_card(manifest, metrics["figures"])
    assert all(heading in card for heading in HEADINGS)
    assert "Macro F1" not in card
    assert "| Accuracy | 0." in card
    assert manifest["files"]["model.tflite"]["sha256"] in card
    assert ("HAM10000" in card) == (key == "isic9")


def test_a_release_of_which_nothing_is_known_has_a_card() -> None:
    sections = card_sections({"label_set": "isic9", "version": "0.0.1"}, {})
    assert [f"## {section.title}" for section in sections] == list(HEADINGS)
    figures = next(section for section in sections if section.key == "figures")
    assert "No figures were recorded" in str(figures.blocks[0])


def test_every_table_of_a_card_is_whole(table: dict[str, Any]) -> None:
    metrics = _metrics(table) | {"cross_validation": table, "slices": table["sliced"]}
    for section in card_sections(MANIFEST, metrics):
        for block in section.blocks:
            if isinstance(block, Grid):
                assert block.rows
                assert all(len(row) == len(block.head) for row in block.rows)


def test_tables_stand_side_by_side(table: dict[str, Any]) -> None:
    older = table | {"figures": {"accuracy": table["figures"]["accuracy"]}}
    lines = side_by_side({"old": older, "new": table})
    assert lines[0] == "| measure | old | new |"
    assert all(line.count("|") == 4 for line in lines)
    melanoma = next(line for line in lines if line.startswith("| Melanoma recall"))
    assert "| not measured | 0.375 (" in melanoma
    assert "| Macro F1 |" not in "\n".join(side_by_side({"old": older}))


def test_the_order_is_the_cards_own_whatever_a_database_made_of_it(table: dict[str, Any]) -> None:
    sliced = dict.fromkeys(("site", "age_band", "sex"), table["sliced"]["kinds"]["sex"])
    figures = dict.fromkeys(("recall_nv", "recall_bcc", "accuracy", "new_one"), 0.5)
    metrics = _metrics(table) | {
        "slices": table["sliced"] | {"kinds": sliced},
        "ham7_cross_validation": {"images": 9, "figures": figures},
    }
    parts = {"test": {"images": 2}, "train": {"images": 3}, "extra": {"images": 4}}
    card = render_card(MANIFEST | {"data": parts}, metrics)
    wanted = (
        ["| train | 3 |", "| test | 2 |", "| extra | 4 |"],
        ["| Sex: male |", "| Age: male |", "| Site: male |"],
        ["| Accuracy | 0.500 |", "| Recall, Basal", "| Recall, Nevus", "| new one | 0.500 |"],
    )
    for rows in wanted:
        places = [card.index(row) for row in rows]
        assert places == sorted(places)
    assert render_card(MANIFEST, metrics).count("looked at 2 times") == 2
    assert "looked at once, this" in render_card(MANIFEST | {"test_looks": 1}, metrics)


def test_the_card_tells_what_it_was_calibrated_on_and_where_outside_pictures_come_from(
    table: dict[str, Any],
) -> None:
    plain = render_card(MANIFEST, _metrics(table))
    assert "temperature 1.500, fitted on the calibration part |" in plain
    assert "ImageNet sample" not in plain
    crossed = MANIFEST | {
        "calibrated_on": "cross_validation",
        "offsets": [0.1, -0.1, 0.0, 0.2, -0.2],
        "gate": {},
        "recipe": {"name": "clinical5_lite0", "even_labels": True, "outside_share": 0.2},
    }
    card = render_card(crossed, _metrics(table))
    assert (
        "temperature 1.500 and an offset a label, fitted on predictions of the cross-validation, "
        "as if every label were equally frequent |"
    ) in card
    assert "chosen on the calibration part." not in card
    assert "| Ordinary photographs, for the gate | ImageNet sample images | research use |" in card
    assert "outlier exposure" in card
    crossed["recipe"] = {"name": "clinical5_lite0", "even_labels": False}
    card = render_card(crossed, _metrics(table))
    assert "equally frequent" not in card
    assert "outlier exposure" not in card
