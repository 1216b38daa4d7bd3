"""The networks' words in the language of the page.

:mod:`mlcore.labels` names labels and groups in English and knows no Django. What a person reads
goes through here; what programs read (the API, the CSV) keeps the English name and the key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_noop as _

from mlcore.labels import label_set

if TYPE_CHECKING:
    from collections.abc import Iterable

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
