"""The model card: one page for the people who rely on a release, in the Model Facts form.

Sendak et al., npj Digital Medicine 3:41, 2020, https://doi.org/10.1038/s41746-020-0253-3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from mlcore.bundle import counts_labels_alike
from mlcore.card import words
from mlcore.card.blocks import Block, Bullets, Grid, Paragraph, Section, as_markdown
from mlcore.card.figures import figure_blocks, share, shortfalls, side_by_side
from mlcore.labels import LabelSet, label_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Section", "card_sections", "render_card", "side_by_side"]

_UNKNOWN = "not recorded"


def render_card(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], *, plots: Iterable[str] = ()
) -> str:
    """Return the card of a release as Markdown.

    Args:
        manifest: the release's facts; see :func:`card_sections`.
        metrics: figures by split; see :func:`card_sections`.
        plots: names of the plots' files beside the card.
    """
    labels = label_set(manifest["label_set"])
    lines = [f"# {labels.name}: {labels.key} {manifest['version']}", ""]
    lines += as_markdown(card_sections(manifest, metrics))
    names = list(plots)
    if names:
        lines += ["## Plots", "", *(f"![{_caption(name)}]({name})" for name in names), ""]
    return "\n".join(lines)


def card_sections(manifest: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[Section]:
    """Return the parts of a release's card, whatever they are to be written as.

    Args:
        manifest: the release's facts. Only ``label_set`` and ``version`` must be there;
            ``data_note`` (a sentence) and ``weak_spots`` (sentences) take the place of what is
            said of the label set otherwise, and ``files`` adds the hashes of the networks.
        metrics: figures by split, as :func:`mlcore.evaluate.evaluate` gives them, with
            ``operating_point``. Older releases lack some of them, and newer ones may have
            ``cross_validation`` (as a split), ``ham7_cross_validation`` (likewise), ``outside``
            (rows of ``set``, ``images`` and the shares ``rejected``, ``cannot_say`` and
            ``answered``, each with value and interval) and ``slices``
            (:func:`mlcore.evaluate.slices`).
    """
    labels = label_set(manifest["label_set"])
    key = labels.key
    weak = tuple(manifest.get("weak_spots", words.WEAK[key]))
    return [
        Section("summary", "Summary", _summary(manifest, metrics, labels)),
        Section("mechanism", "Mechanism", (_mechanism(manifest, labels),)),
        Section("use", "Use", _use(labels)),
        Section("not_for", "Not for", (Bullets(_not_for(labels)),)),
        Section("data", "Data", _data(manifest, key)),
        Section("figures", "Figures", figure_blocks(manifest, metrics, labels)),
        Section("weak", "Weak spots", (Bullets((*shortfalls(metrics, labels), *weak)),)),
        Section("warnings", "Warnings", (Bullets(_warnings(manifest)),)),
        Section("other", "Other information", _other(manifest)),
    ]


def _caption(name: str) -> str:
    return name.removeprefix("plot-").removesuffix(".svg").replace("-", " ").capitalize()


def _looks(manifest: Mapping[str, Any]) -> str:
    looks = manifest.get("test_looks")
    if looks is None:
        return "How often the test images were looked at was not recorded."
    times = "once" if looks == 1 else f"{looks} times"
    return f"The test images have been looked at {times}, this release included."


def _summary(
    manifest: Mapping[str, Any], metrics: Mapping[str, Any], labels: LabelSet
) -> tuple[Block, ...]:
    says = (
        f"Ranks {len(labels.labels)} labels for one {labels.modality} image, gives a calibrated "
        "probability for each and a triage group, or says that it cannot say."
    )
    blocks = [Paragraph(says)]
    test = metrics.get("test", {})
    figures, point = test.get("figures", {}), test.get("operating_point", {})
    told = []
    if "balanced_accuracy" in figures:
        told.append(f"balanced accuracy {share(figures['balanced_accuracy'])}")
    if "melanoma_recall" in figures:
        told.append(f"melanoma named first {share(figures['melanoma_recall'])}")
    if "malignant_sensitivity" in point:
        told.append(
            "malignant or pre-malignant flagged "
            f"{share(point['malignant_sensitivity'])} at specificity "
            f"{share(point['malignant_specificity'])}"
        )
    if told:
        on = f"On {test['images']} test images: "
        blocks.append(Paragraph(f"{on}{'; '.join(told)}. {_looks(manifest)}"))
    made = manifest.get("made_at", _UNKNOWN)
    licence = manifest.get("licence", "")
    blocks.append(Paragraph(f"Version {manifest['version']}, made {made}. {licence}".strip()))
    return tuple(blocks)


def _mechanism(manifest: Mapping[str, Any], labels: LabelSet) -> Grid:
    network, side = manifest.get("network"), manifest.get("input_side")
    scale = f"EfficientNet-{str(network).capitalize()}" if network else _UNKNOWN
    size = f", {side} by {side} pixels" if side else ""
    rows = (
        ("Asked", "which of the labels this image shows, and whether cancer is to be suspected"),
        ("Labels", ", ".join(label.name.lower() for label in labels.labels)),
        ("Input", f"one {labels.modality} image of one lesion or one area{size}"),
        ("Output", "calibrated probabilities, triage group, map of the evidence, or “cannot say”"),
        ("People", words.POPULATION[labels.key]),
        ("When", "after the clinician has written down an own opinion"),
        ("Network", f"{scale}, fine-tuned from ImageNet weights"),
        ("Calibration", _calibration(manifest)),
        ("Before an answer", _gates(manifest)),
    )
    return Grid("How it works", ("fact", "value"), rows)


def _calibration(manifest: Mapping[str, Any]) -> str:
    temperature = manifest.get("temperature")
    if temperature is None:
        return _UNKNOWN
    fitted = f"temperature {temperature:.3f}"
    if any(manifest.get("offsets", ())):
        fitted += " and an offset a label"
    fitted += f", fitted on {_calibrated_on(manifest)}"
    if counts_labels_alike(manifest):
        fitted += f", {words.EVEN_LABELS}"
    if raised := manifest.get("melanoma_raised"):
        fitted += f"; {words.MELANOMA_RAISED.format(times=math.exp(raised))}"
    return fitted


def _warnings(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    mix = words.MIX_MEASURED
    if counts_labels_alike(manifest):
        mix = words.MIX_RAISED if manifest.get("melanoma_raised") else words.MIX_EVEN
    return (*words.WARNINGS[:2], mix, *words.WARNINGS[2:])


def _calibrated_on(manifest: Mapping[str, Any]) -> str:
    return words.CALIBRATED_ON[manifest.get("calibrated_on", "calibration")]


def _gates(manifest: Mapping[str, Any]) -> str:
    checks = (("quality", words.GATES_QUALITY), ("gate", words.GATES_OUTSIDE))
    return "; ".join(said for key, said in checks if key in manifest) or _UNKNOWN


def _use(labels: LabelSet) -> tuple[Block, ...]:
    return (
        Paragraph(
            "For a clinician trained in dermatology who has examined the patient and formed an "
            f"opinion first: a second opinion on one {labels.modality} image, and an order for the "
            "worklist. The clinician agrees, overrules or defers; pathology decides."
        ),
    )


def _not_for(labels: LabelSet) -> tuple[str, ...]:
    other = "clinical photographs" if labels.modality == "dermoscopy" else "dermoscopic images"
    return (
        "Deciding alone, or deciding not to take a biopsy.",
        "Patients who use it themselves, and screening of people without a question.",
        f"Images of another kind, such as {other}, and images of mucosa, nails or wounds.",
        "Conditions that are not among the labels: "
        + ", ".join(label.name.lower() for label in labels.labels)
        + ".",
    )


def _data(manifest: Mapping[str, Any], key: str) -> tuple[Block, ...]:
    with_ham = manifest.get("recipe", {}).get("with_ham", False)
    note = manifest.get("data_note") or " ".join(
        [words.DATA[key], *([words.WITH_HAM] if with_ham else [])]
    )
    exposed = manifest.get("recipe", {}).get("outside_share", 0) > 0
    licences = [row for row in words.LICENCES[key] if with_ham or not row[0].startswith("HAM10000")]
    if exposed or "gate" in manifest:
        licences += words.OUTSIDE_LICENCES
    blocks: list[Block] = [
        Paragraph(note),
        *([Paragraph(words.EXPOSED)] if exposed else []),
        *([Paragraph(words.GATE_DATA)] if "gate" in manifest else []),
        Grid("Origin and licence", ("set", "origin", "licence"), (*licences, words.IMAGENET)),
    ]
    parts = manifest.get("data", {})
    if parts:
        rows = tuple(
            (name, str(facts["images"]), facts.get("sha256", _UNKNOWN))
            for name, facts in sorted(parts.items(), key=lambda part: _place(part[0]))
        )
        blocks.append(Grid("Parts", ("part", "images", "SHA-256 of the list"), rows))
    blocks.append(
        Paragraph(
            f"{_apart(manifest, key)} "
            f"{words.CHOSEN_ON[manifest.get('calibrated_on', 'calibration')]} {_looks(manifest)}"
        )
    )
    return tuple(blocks)


def _apart(manifest: Mapping[str, Any], key: str) -> str:
    pairs = manifest.get("same_patients")
    return words.APART_BEFORE[key] if pairs is None else words.APART[key].format(pairs=pairs)


def _place(part: str) -> int:
    known = words.DATA_PARTS
    return known.index(part) if part in known else len(known)


def _other(manifest: Mapping[str, Any]) -> tuple[Block, ...]:
    recipe = manifest.get("recipe", {}).get("name", _UNKNOWN)
    epoch = manifest.get("best_epoch")
    best = _UNKNOWN if epoch is None else str(epoch + 1)
    rows = [
        ("Version", f"{manifest['label_set']} {manifest['version']}"),
        ("Made", str(manifest.get("made_at", _UNKNOWN))),
        ("Recipe", f"{recipe}, seed {manifest.get('seed', _UNKNOWN)}, best epoch {best}"),
    ]
    parity = manifest.get("parity")
    if parity:
        rows.append(
            (
                "LiteRT against Keras",
                (
                    f"greatest difference {parity['greatest_difference']:.1e} over "
                    f"{parity['pictures']} images"
                ),
            )
        )
    versions = manifest.get("trained_with")
    if versions:
        rows.append(("Trained with", ", ".join(f"{k} {v}" for k, v in sorted(versions.items()))))
    rows += [
        (f"SHA-256 of {name}", facts["sha256"])
        for name, facts in sorted(manifest.get("files", {}).items())
        if name.startswith(("model.", "metrics."))
    ]
    return (
        Grid("This release", ("fact", "value"), tuple(rows)),
        Bullets(words.REFERENCES),
    )
