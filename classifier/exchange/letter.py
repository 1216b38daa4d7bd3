"""A report as a letter: PDF on A4, tagged for screen readers (PDF/UA-1), with embedded fonts.

Set by Typst in this process: it reads no file but the template below, asks no other host, and what
people wrote reaches it as data, never as markup.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typst
from django.conf import settings
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from PIL import Image as Pillow

from classifier.choices import Decision

if TYPE_CHECKING:
    from datetime import datetime

    from classifier.exchange.facts import AnswerFacts, OutcomeFacts, Report

CONTENT_TYPE = "application/pdf"
_TEMPLATE = Path(__file__).with_name("letter.typ")
# Printed 7 cm wide, this is 360 dots per inch.
_PICTURE_SIDE = 1000
_PICTURE_QUALITY = 88
# Comes with the library, so that a letter looks the same everywhere.
_FONT = "Libertinus Serif"
_NO_GLYPH = "could not be displayed with font"


def letter_pdf(report: Report) -> bytes:
    """Return the letter.

    A name in a script that no font at hand holds makes the letter leave PDF/UA and say so;
    ``EXCHANGE_FONTS`` names folders of further fonts.
    """
    facts = _facts(report)
    try:
        return _set(facts, standard="ua-1")
    except typst.TypstError as error:
        if _NO_GLYPH not in str(error):
            raise
    facts["footer"] = _("Some characters cannot be printed here: read them on the screen.")
    return _set(facts, standard="1.7")


def _outcome(outcome: OutcomeFacts) -> str:
    parts = (outcome.diagnosis_words, outcome.kind_words, outcome.found_on.isoformat())
    return ", ".join((*parts, outcome.reference) if outcome.reference else parts)


def _set(facts: dict[str, Any], *, standard: Literal["ua-1", "1.7"]) -> bytes:
    return typst.compile(
        _TEMPLATE,
        sys_inputs={"letter": json.dumps(facts)},
        font_paths=[Path(folder) for folder in settings.EXCHANGE_FONTS],
        ignore_system_fonts=True,
        format="pdf",
        pdf_standards=standard,
    )


def _facts(report: Report) -> dict[str, Any]:
    picture, patient = report.picture, report.patient
    unknown = _("not recorded")
    shown = picture.lesion or picture.modality_words
    return {
        "language": (get_language() or "en").split("-")[0],
        "fonts": [_FONT, *settings.EXCHANGE_FONT_NAMES],
        "clinic": report.clinic.name,
        "title": _("Letter about a skin image"),
        "status": report.status_words(),
        "footer": _("%(number)s · made on %(day)s · the network's answer is not a diagnosis")
        % {"number": patient.number, "day": _day(report.made_at)},
        "page": _("Page {now} of {all}"),
        "facts": [
            [_("Fact"), _("Recorded")],
            [_("Patient"), patient.name],
            [_("Medical record number"), patient.number],
            [_("Date of birth"), patient.born.isoformat() if patient.born else unknown],
            [_("Sex"), patient.sex_words],
            [_("Skin type (Fitzpatrick)"), patient.skin_type],
            [_("Lesion"), picture.lesion or unknown],
            [_("Body site"), picture.site_words or unknown],
            [_("How taken"), picture.modality_words],
            [_("Taken"), _day(picture.taken_at) if picture.taken_at else unknown],
            [_("Uploaded"), _day(picture.uploaded_at)],
            *([[_("Outcome"), _outcome(report.outcome)]] if report.outcome else []),
        ],
        "picture": list(_smaller(picture.jpeg)),
        "alt": _("%(modality)s of %(what)s, the image that was read")
        % {"modality": picture.modality_words, "what": shown},
        "caption": shown,
        "read": {
            "title": _("The clinicians' own readings"),
            "empty": _("Nobody has saved an own reading."),
            "rows": [
                [_("When"), _("Who"), _("Read as"), _("How")],
                *(
                    [
                        _day(each.at),
                        each.reader.name,
                        each.diagnosis_words,
                        _("before the answer") if each.blinded else _("knowing the answer"),
                    ]
                    for each in report.readings
                ),
            ],
        },
        "reviewed": {
            "title": _("The clinicians' verdicts on the answer"),
            "empty": _("No verdict is on record."),
            "rows": [
                [_("When"), _("Who"), _("Verdict"), _("Final diagnosis"), _("Reason")],
                *(
                    [
                        _day(each.at),
                        each.reviewer.name,
                        report.verdict_words(each),
                        each.diagnosis_words or "–",
                        each.reason or "–",
                    ]
                    for each in report.reviews
                ),
            ],
        },
        "answer": _answer(report.answer),
        "limits": {"title": _("What the answer cannot do"), "lines": list(report.answer.limits)},
        "not_for": {"title": _("Not for"), "lines": list(report.answer.not_for)},
    }


def _answer(answer: AnswerFacts) -> dict[str, Any]:
    said, words = answer.decision_words, [answer.reason]
    if answer.decision == Decision.ANSWER:
        said, words = f"{answer.ranked[0].name} ({answer.ranked[0].percent})", [answer.words]
    elif answer.ranked:
        words.append(_("The probabilities below are no answer."))
    return {
        "title": _("The network's answer"),
        "said": said,
        "words": [line for line in words if line],
        "rows": [
            [_("Label"), _("Calibrated probability")],
            *([each.name, each.percent] for each in answer.ranked),
        ],
        "facts": [
            [_("Fact"), _("Recorded")],
            [_("Network"), f"{answer.label_set} {answer.version}"],
            [_("SHA-256 of the release"), answer.sha256],
            [_("Engine"), answer.engine],
            [_("Answered"), _day(answer.answered_at)],
            *([[_("Worst plausible group"), group]] if (group := answer.group_words) else []),
        ],
    }


def _smaller(jpeg: bytes) -> bytes:
    """Return the picture as it is printed; the display copy is our own, and no stranger's file."""
    picture = Pillow.open(io.BytesIO(jpeg), formats=["JPEG"])
    picture.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_PICTURE_QUALITY)
    return buffer.getvalue()


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M %Z}"
