"""The measured part of a card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcore.card import words
from mlcore.card.blocks import Block, Grid, Paragraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlcore.labels import LabelSet

_NOT_MEASURED = "not measured"
_TOO_FEW = "too few to say"
_SLICE_KINDS = {"sex": "Sex", "age_band": "Age", "site": "Site", "source": "Source"}
# Shortfalls that a reader must be told of, not left to find.
_LOW_RECALL = 0.5
_MOST_CALIBRATION_ERROR = 0.05
_LEAST_SENSITIVITY = 0.9


def figure_blocks(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], labels: LabelSet
) -> tuple[Block, ...]:
    """Return what was measured; what a release's figures do not have is left out.

    Args:
        manifest: the release's facts.
        metrics: figures by split.
        labels: the label set.
    """
    parts = {part: name for part, name in _parts(metrics).items() if "figures" in metrics[part]}
    if not parts:
        return (Paragraph("No figures were recorded with this release."),)
    blocks: list[Block] = [
        Grid("Measures", ("measure", *parts.values()), _measures(metrics, parts)),
        Paragraph(words.INTERVALS),
        Paragraph(words.BINNING),
        *([Paragraph(words.BEFORE_GATES)] if "gate" in manifest else []),
        *_operating_point(manifest, metrics, parts),
        *(
            Grid(f"By label, {name}", _LABEL_HEAD, _labels(metrics[part], labels))
            for part, name in parts.items()
            if part in {"test", "cross_validation"} and metrics[part].get("labels")
        ),
        *_ham(metrics.get("ham7_cross_validation")),
        *_outside(metrics.get("outside")),
        *_slices(metrics.get("slices")),
    ]
    return tuple(blocks)


def shortfalls(metrics: Mapping[str, Any], labels: LabelSet) -> tuple[str, ...]:
    """Return sentences about what the figures show to be weak, worst label first."""
    test, found = metrics.get("test", {}), []
    if "confusion" in test:
        recalls = [
            (
                row[k] / sum(row),
                (
                    f"Of {sum(row)} test images of {label.name.lower()}, {row[k]} were "
                    "given that label first."
                ),
            )
            for k, (label, row) in enumerate(zip(labels.labels, test["confusion"], strict=True))
            if sum(row)
        ]
        found += [sentence for recall, sentence in sorted(recalls) if recall < _LOW_RECALL]
    caught = test.get("operating_point", {}).get("malignant_sensitivity", {}).get("value")
    if caught is not None and caught < _LEAST_SENSITIVITY:
        found.append(
            f"At the triage threshold {(1 - caught) * 100:.0f} % of the malignant or pre-malignant "
            "test images raise no suspicion."
        )
    error = test.get("figures", {}).get("calibration_error", {}).get("value")
    if error is not None and error > _MOST_CALIBRATION_ERROR:
        expected = test.get("reliability", {}).get("expected_if_calibrated")
        chance = f"; by chance alone {expected:.2f} was to be expected" if expected else ""
        found.append(
            f"On the test images the probabilities are off by {error:.2f} on average{chance}."
        )
    ours, theirs = (
        metrics.get(part, {}).get("figures", {}).get("balanced_accuracy", {}).get("value")
        for part in ("test", "validation")
    )
    interval = test.get("figures", {}).get("balanced_accuracy", {}).get("interval")
    if None not in (ours, theirs) and interval and theirs > interval[1]:
        found.append(
            f"Balanced accuracy falls from {theirs:.2f} on the validation images to {ours:.2f} on "
            "the test images: expect no more than the latter of images from elsewhere."
        )
    return tuple(found)


def side_by_side(tables: dict[str, dict[str, Any]]) -> list[str]:
    """Return the lines of a Markdown table that compares sets of figures.

    Args:
        tables: figures by name, as :func:`mlcore.evaluate.evaluate` gives them.
    """
    lines = ["| measure | " + " | ".join(tables) + " |", "|---|" + "---|" * len(tables)]
    for code, name in words.MEASURES.items():
        if any(code in table["figures"] for table in tables.values()):
            cells = [_cell(table["figures"].get(code)) for table in tables.values()]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def share(figure: Any) -> str:
    """Return a share with its interval for people: 89 % (81 to 96 %)."""
    value, interval = _value(figure), _interval(figure)
    if value is None:
        return "not defined"
    bounds = f" ({interval[0] * 100:.0f} to {interval[1] * 100:.0f} %)" if interval else ""
    return f"{value * 100:.0f} %{bounds}"


def _parts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """Return the splits that are there, in order, with their names."""
    names = {}
    for part, name in words.PARTS.items():
        if part in metrics:
            folds = metrics[part].get("folds")
            names[part] = f"{name}, {folds} folds" if folds else name
    return names


def _measures(metrics: Mapping[str, Any], parts: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
    rows = [("Images", *(str(metrics[part].get("images", "")) for part in parts))]
    for code, name in words.MEASURES.items():
        figures = [metrics[part]["figures"].get(code) for part in parts]
        if any(figures):
            rows.append((name, *(_cell(figure) for figure in figures)))
    return tuple(rows)


def _operating_point(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], parts: Mapping[str, str]
) -> list[Block]:
    shown = {part: name for part, name in parts.items() if "operating_point" in metrics[part]}
    if not shown or "answer_threshold" not in manifest:
        return []
    rows = []
    for code, name in words.POINT.items():
        figures = [metrics[part]["operating_point"].get(code) for part in shown]
        if any(figures):
            rows.append((name, *(share(f) if f else _NOT_MEASURED for f in figures)))
    own = " In the cross-validation each fold's come from the other folds."
    return [
        Paragraph(
            f"An answer is given where the first label has {manifest['answer_threshold']:.3f} or "
            "more; otherwise the network cannot say. Suspicion of a malignant or pre-malignant "
            "lesion is raised where their probabilities sum to "
            f"{manifest['triage_threshold']:.3f} or more. "
            + words.THRESHOLDS_CHOSEN_ON[manifest.get("calibrated_on", "calibration")]
            + (own if "cross_validation" in shown else "")
        ),
        Grid("At the thresholds as shipped", ("measure", *shown.values()), tuple(rows)),
    ]


_LABEL_HEAD = ("label", "images", "precision", "recall", "F1", "AUC")


def _labels(facts: Mapping[str, Any], labels: LabelSet) -> tuple[tuple[str, ...], ...]:
    rows = []
    for label in labels.labels:
        row = facts["labels"].get(label.key)
        if row is None:
            continue
        note = f" ({_TOO_FEW})" if row.get("too_few_to_say") else ""
        cells = (
            _cell({"value": row.get(name), "interval": row.get(f"{name}_interval")}, ".2f")
            for name in ("precision", "recall", "f1", "auc")
        )
        rows.append((label.name + note, str(row["images"]), *cells))
    return tuple(rows)


def _ham(facts: Mapping[str, Any] | None) -> list[Block]:
    if not facts:
        return []
    names = words.MEASURES | {
        f"recall_{code}": f"Recall, {name}" for code, name in words.HAM_DIAGNOSES.items()
    }
    places = {code: place for place, code in enumerate(names)}
    codes = sorted(facts["figures"], key=lambda code: (places.get(code, len(places)), code))
    rows = tuple(
        (names.get(code, code.replace("_", " ")), _cell(facts["figures"][code])) for code in codes
    )
    caption = f"HAM10000, seven diagnoses, lesions kept together, {facts['images']} images"
    return [Grid(caption, ("measure", "cross-validation"), rows)]


def _outside(rows: Any) -> list[Block]:
    if not rows:
        return []
    names = ("rejected", "cannot_say", "answered")
    written = tuple(
        (
            str(row["set"]),
            str(row["images"]),
            *(share(row[name]) if name in row else _NOT_MEASURED for name in names),
        )
        for row in rows
    )
    head = ("set", "images", "rejected", "cannot say", "answered")
    return [Grid("What the gates do, also with images of other kinds", head, written)]


def _slices(facts: Mapping[str, Any] | None) -> list[Block]:
    if not facts:
        return []
    names = ("accuracy", "malignant_sensitivity", "malignant_specificity")
    rows = tuple(
        (
            f"{name_of}: {row['name']}",
            str(row["images"]),
            *(
                _TOO_FEW if row["figures"][name]["value"] is None else share(row["figures"][name])
                for name in names
            ),
        )
        for kind, name_of in _SLICE_KINDS.items()
        for row in facts["kinds"].get(kind, [])
    )
    head = ("part", "images", "accuracy", "sensitivity, malignant", "specificity, malignant")
    return [Grid(f"By sex, age, body site and source, {facts['measured_on']}", head, rows)]


def _value(figure: Any) -> float | None:
    found = figure.get("value") if isinstance(figure, dict) else figure
    return None if found is None else float(found)


def _interval(figure: Any) -> list[float] | None:
    return figure.get("interval") if isinstance(figure, dict) else None


def _cell(figure: Any, form: str = ".3f") -> str:
    if figure is None:
        return _NOT_MEASURED
    value, interval = _value(figure), _interval(figure)
    if value is None:
        return "not defined"
    bounds = f" ({format(interval[0], form)} to {format(interval[1], form)})" if interval else ""
    return f"{format(value, form)}{bounds}"
