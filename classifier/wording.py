"""The networks' words in the language of the page.

:mod:`mlcore.labels` names labels and groups in English and knows no Django. What a person reads
goes through here; what programs read (the API, the CSV) keeps the English name and the key.
"""

from __future__ import annotations

import re
from math import floor
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as _

from mlcore.bundle import counts_labels_alike
from mlcore.decision import UNSURE_SENTENCE
from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlcore.labels import Label

# For makemessages. A test holds that no word of mlcore.labels is missing.
TERMS = frozenset(
    {
        # The label sets
        _("Nine dermoscopic lesion types"),
        _("Five clinical conditions"),
        # Their labels
        _("Acne"),
        _("Actinic keratosis"),
        _("Basal cell carcinoma"),
        _("Dermatofibroma"),
        _("Melanoma"),
        _("Nevus"),
        _("Peeling skin"),
        _("Pigmented benign keratosis"),
        _("Ring worm (tinea)"),
        _("Seborrheic keratosis"),
        _("Squamous cell carcinoma"),
        _("Vascular lesion"),
        _("Vitiligo"),
        # What to mind about their codes
        _("A sign, not a disease; never to be sent as a diagnosis."),
        _("A site code is preferred."),
        _("An umbrella label; I78.1, L98.0 or Q82.5 for other vascular lesions."),
        _("An umbrella label; L81.4 for a solar lentigo."),
        _("B35.0 on the scalp, B35.6 in the groin, B35.9 when the site is not said."),
        _("D03.9 when in situ."),
        _("D04.9 for Bowen disease or intraepithelial carcinoma."),
        _("D04.9 when in situ; WHO ICD-10 C44 names the site only."),
        _("ICD-10-CM L82.0 when inflamed."),
        _("L70.0 only if vulgaris is confirmed."),
        _("WHO ICD-10 C44 names the site only, not the cell type."),
        # The triage groups
        _("skin cancer"),
        _("pre-cancer"),
        _("infection"),
        _("inflammatory"),
        _("sign, not a disease"),
        _("pigment disorder"),
        _("benign lesion"),
    }
)


# What the networks and the workers give as a reason, kept in English with the row.
SENTENCES = frozenset(
    {
        # mlcore.quality
        _("The picture shows one flat colour. Check the lens and take it again."),
        _("The picture is too dark to judge. Add light and take it again."),
        _("The picture is overexposed. Use less light and take it again."),
        _("The picture is out of focus. Hold still, focus and take it again."),
        _(
            "Nothing stands out from the skin around it. Bring the lesion into the middle of the "
            "frame and take it again."
        ),
        # mlcore.decision
        _(
            "This does not look like a picture of skin. Check that it is the right file, or take a "
            "picture of the skin change filling most of the frame."
        ),
        _("The picture looks unlike the conditions that this network knows. A person must judge."),
        _(
            "This does not look like a dermoscopic picture, and this network knows no other. Take "
            "one with a dermatoscope, or send the picture as a clinical photograph."
        ),
        _(
            "This does not look like a clinical photograph, and this network knows no other. Take "
            "one without a dermatoscope, or send the picture as a dermoscopic one."
        ),
        # classifier.services.claims
        _("The worker did not answer in time."),
        _("The worker did not answer in time; no attempt is left."),
    }
)
_NEARLY_TEN = 9.5
_UNSURE = re.compile(
    re.escape(UNSURE_SENTENCE).replace(r"\{percent\}", "(\\d+)").replace(r"\{needed\}", "(\\d+)")
)


def told(reason: str) -> str:
    """Return a stored reason in the language of the page; what a person wrote stays as it is."""
    if reason in SENTENCES:
        return gettext(reason)
    if unsure := _UNSURE.fullmatch(reason):
        return gettext(
            "The network is not sure enough: its first answer has %(percent)s %% where %(needed)s "
            "%% are needed. A person must judge."
        ) % {"percent": unsure[1], "needed": unsure[2]}
    return reason


def premise(manifest: Mapping[str, Any]) -> str:
    """Return what the probabilities of a release assume, to stand beside them."""
    if not counts_labels_alike(manifest):
        return gettext(
            "Calibrated probabilities. They assume the mix of cases the network was measured on; "
            "in another clinic the same picture may deserve another number."
        )
    if manifest.get("melanoma_raised"):
        return gettext(
            "Calibrated probabilities, as if every label were equally frequent, with the odds of "
            "melanoma raised so that fewer are missed. They are no shares of the cases of a "
            "clinic: there the same picture may deserve another number."
        )
    return gettext(
        "Calibrated probabilities, as if every label were equally frequent. They are no shares of "
        "the cases of a clinic: there the same picture may deserve another number."
    )


def in_ten(confidence: float, name: str, manifest: Mapping[str, Any]) -> str:
    """Return the first probability as a number of images out of ten.

    Nothing where the probabilities are no shares of any images; see :func:`premise`.

    Args:
        confidence: 0 to 1.
        name: of the first label, in the language of the page.
        manifest: of the release that answered.
    """
    if counts_labels_alike(manifest):
        return ""
    share = confidence * 10
    if share >= _NEARLY_TEN:
        # "About 10 of ten" would promise what no network can.
        words = gettext(
            "Of ten images with such an answer in the calibration set, more than 9 were %(label)s."
        )
        return words % {"label": within(name)}
    return gettext(
        "Of ten images with such an answer in the calibration set, about %(count)d were %(label)s."
    ) % {"count": floor(share + 0.5), "label": within(name)}


def term(words: str) -> str:
    """Return words of :mod:`mlcore.labels` in the language of the page; nothing for nothing."""
    return gettext(words) if words else ""


def label_name(label: Label) -> str:
    """Return a label as a person reads it."""
    return term(label.name)


def label_choices(labels: Iterable[Label]) -> list[tuple[str, str]]:
    """Return labels as a form offers them: key, and name with ICD-10 code; sorted by name."""
    named = sorted((label_name(label), label.key, label.icd10) for label in labels)
    return [(key, f"{name} ({icd10})") for name, key, icd10 in named]


def network_name(key: str) -> str:
    """Return what the network of a label set is called."""
    return term(label_set(key).name)


def within(words: object) -> str:
    """Return a term as it is written inside a sentence: in English small, in German as it is."""
    small = pgettext("are nouns written small inside a sentence? yes or no", "yes") == "yes"
    return str(words).lower() if small else str(words)
