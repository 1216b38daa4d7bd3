"""The model card: one page for the people who rely on a release."""

from __future__ import annotations

from typing import Any

from mlcore.labels import label_set

_NAMES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_precision": "Macro precision",
    "melanoma_recall": "Melanoma recall, first answer",
    "same_icd_group_accuracy": "Same ICD-10 code as the truth",
    "malignant_auc": "AUC, malignant or pre-malignant against benign",
    "calibration_error": "Expected calibration error",
    "brier_score": "Brier score",
}
_DATA = {
    "isic9": (
        "Nine-class set of ISIC Archive images (CC-0, CC BY and CC BY-NC by image), curated: files "
        "that carry two contradictory labels are left out of training (`mlcore/data/"
        "curation_isic9.csv`). HAM10000 (Tschandl et al. 2018, CC BY-NC 4.0) joins the training: "
        "mel, nv, bkl, bcc, df, vasc; akiec stays out."
    ),
    "clinical5": "Clinical photographs of DermNet NZ (CC BY-NC-ND 3.0 NZ), small and noisy.",
}
_WEAK = {
    "isic9": (
        "Source and class are confounded in the public set: nevus, melanoma and seborrheic "
        "keratosis come from other archives than the rest, so figures from one hospital do not "
        "carry over to another. Dark skin is hardly represented. Ink, rulers and dark corners "
        "were not removed."
    ),
    "clinical5": (
        "Fewer than 400 training pictures. “Peeling skin” and “ring worm” are made of several "
        "diagnoses. Skin types were not recorded, so nothing can be said about them."
    ),
}


def render_card(manifest: dict[str, Any], metrics: dict[str, Any]) -> str:
    """Return the card of a release as Markdown.

    Args:
        manifest: the release's facts.
        metrics: figures by split, as :func:`mlcore.evaluate.evaluate` gives them.
    """
    key = manifest["label_set"]
    labels = label_set(key)
    test, point = metrics["test"], metrics["test"]["operating_point"]
    lines = [
        f"# {labels.name}: {key} {manifest['version']}",
        "",
        f"Made {manifest['made_at']}. {manifest['licence']}",
        "",
        "## Use",
        (
            f"Ranks {len(labels.labels)} labels for one {labels.modality} image and sets a triage "
            "group, for a clinician who has formed an opinion first."
        ),
        "",
        "## Not for",
        "Deciding alone; patients; images of another kind; conditions that are not among the "
        "labels: " + ", ".join(label.name.lower() for label in labels.labels) + ".",
        "",
        "## Network",
        (
            f"EfficientNet-{manifest['network'].capitalize()}, "
            f"{manifest['input_side']} by {manifest['input_side']} pixels, recipe "
            f"`{manifest['recipe']['name']}`, seed {manifest['seed']}, best epoch "
            f"{manifest['best_epoch'] + 1}. Temperature {manifest['temperature']:.3f}."
        ),
        "",
        "## Data",
        _DATA[key],
        "",
        "| part | images |",
        "|---|---|",
        *(f"| {part} | {facts['images']} |" for part, facts in manifest["data"].items()),
        "",
        (
            "No lesion and no near-duplicate stands in two parts. Calibration and thresholds were "
            "chosen on the calibration part. The test part has been looked at "
            f"{manifest['test_looks']} time(s), this release included."
        ),
        "",
        "## Figures (95 % interval, bootstrap by group)",
        "",
        "| measure | validation | calibration | test |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | " + " | ".join(_cell(metrics[part], code) for part in metrics) + " |"
        for code, name in _NAMES.items()
        if code in test["figures"]
    ]
    lines += [
        "",
        (
            f"An answer is given from {manifest['answer_threshold']:.2f} on: "
            f"{_share(point['coverage'])} of the test images, "
            f"{_share(point['accuracy_of_answers'])} of those right. Suspicion of a malignant or "
            "pre-malignant lesion is raised from a summed probability of "
            f"{manifest['triage_threshold']:.3f} on: sensitivity "
            f"{_share(point['malignant_sensitivity'])}, specificity "
            f"{_share(point['malignant_specificity'])} on the test images."
        ),
        "",
        "| label | test images | precision | recall (95 % interval) | F1 | AUC |",
        "|---|---|---|---|---|---|",
    ]
    for label in labels.labels:
        row = test["labels"][label.key]
        note = " (too few to say)" if row["too_few_to_say"] else ""
        lines.append(
            f"| {label.name}{note} | {row['images']} | {row['precision']:.2f} | "
            f"{row['recall']:.2f} {_range(row['recall_interval'], '.2f')} | {row['f1']:.2f} | "
            f"{_number(row['auc'], '.2f')} |"
        )
    lines += ["", "## Weak spots", _WEAK[key], ""]
    return "\n".join(lines)


def side_by_side(tables: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table that compares sets of figures.

    Args:
        tables: figures by name, as :func:`mlcore.evaluate.evaluate` gives them.
    """
    lines = ["| measure | " + " | ".join(tables) + " |", "|---|" + "---|" * len(tables)]
    for code, name in _NAMES.items():
        cells = [_cell(t, code) if code in t["figures"] else "" for t in tables.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(table: dict[str, Any], code: str) -> str:
    figure = table["figures"][code]
    return f"{_number(figure['value'], '.3f')} {_range(figure['interval'], '.3f')}"


def _share(figure: dict[str, Any]) -> str:
    return f"{_number(figure['value'], '.0%')} {_range(figure['interval'], '.0%')}"


def _number(value: float | None, form: str) -> str:
    return "not defined" if value is None else format(value, form)


def _range(pair: list[float] | None, form: str) -> str:
    return "" if pair is None else f"({format(pair[0], form)} to {format(pair[1], form)})"
