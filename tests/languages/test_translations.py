"""The German catalogue: whole, sound, and compiled from what is read."""

from __future__ import annotations

import gettext
import re

import polib
import pytest
from django.utils import translation

from classifier.wording import SENTENCES, TERMS, told
from mlcore import decision, quality
from mlcore.labels import LABEL_SETS, TRIAGE_ORDER
from tests.languages.texts import ROOT, Text, marked_texts

FOLDER = ROOT / "classifier" / "locale" / "de" / "LC_MESSAGES"
PLACE = re.compile(r"%\(\w+\)[sd]|\{\w*\}")
TAG = re.compile(r"</?\w[^>]*>")


@pytest.fixture(scope="module")
def catalogue() -> dict[Text, polib.POEntry]:
    """Return the German entries by their texts."""
    entries = polib.pofile(str(FOLDER / "django.po"))
    return {Text(e.msgid, e.msgid_plural, e.msgctxt or ""): e for e in entries if not e.obsolete}


def forms(entry: polib.POEntry) -> list[tuple[str, str]]:
    """Return each form with what it translates."""
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    return [(entry.msgid, entry.msgstr_plural[0]), (entry.msgid_plural, entry.msgstr_plural[1])]


def test_every_text_of_the_application_has_a_german_one(
    catalogue: dict[Text, polib.POEntry],
) -> None:
    marked = marked_texts()
    assert len(marked) > 1500
    missing = {text: where for text, where in marked.items() if text not in catalogue}
    assert missing == {}, "run `make messages`, then translate what is empty"
    assert {text for text in catalogue if text not in marked} == set()
    untranslated = [
        text
        for text, entry in catalogue.items()
        if entry.fuzzy or not all(written for _english, written in forms(entry))
    ]
    assert untranslated == []


def test_places_for_names_and_numbers_are_kept(catalogue: dict[Text, polib.POEntry]) -> None:
    for text, entry in catalogue.items():
        for english, written in forms(entry):
            wanted, found = sorted(PLACE.findall(english)), sorted(PLACE.findall(written))
            # "One image" may leave the number out.
            assert found == wanted or (text.plural and set(found) <= set(wanted)), text
            assert sorted(TAG.findall(written)) == sorted(TAG.findall(english)), text


def test_what_is_compiled_is_what_is_read(catalogue: dict[Text, polib.POEntry]) -> None:
    with (FOLDER / "django.mo").open("rb") as stream:
        compiled = gettext.GNUTranslations(stream)
    for text, entry in catalogue.items():
        for number, (_english, written) in zip((1, 5), forms(entry), strict=False):
            if text.plural and text.context:
                said = compiled.npgettext(text.context, text.words, text.plural, number)
            elif text.plural:
                said = compiled.ngettext(text.words, text.plural, number)
            elif text.context:
                said = compiled.pgettext(text.context, text.words)
            else:
                said = compiled.gettext(text.words)
            assert said == written, "run `make messages`"


def test_every_reason_of_the_networks_is_marked() -> None:
    said = {fault.sentence for fault in quality.FAULTS}
    said |= {decision.NOT_SKIN_SENTENCE, decision.LABELS_SENTENCE}
    said |= set(decision.OTHER_KIND_SENTENCES.values())
    assert said < SENTENCES
    unsure = decision.UNSURE_SENTENCE.format(percent=41, needed=60)
    with translation.override("de"):
        assert told(decision.NOT_SKIN_SENTENCE) != decision.NOT_SKIN_SENTENCE
        assert "41 %" in told(unsure)
        assert "60 %" in told(unsure)
        assert told(unsure) != unsure
        # What a person wrote is theirs, even where it is a word of the pages.
        assert told("Back") == "Back"
    with translation.override("en"):
        assert told(unsure) == unsure


def test_every_word_of_the_networks_is_marked() -> None:
    said = set(TRIAGE_ORDER) | {labels.name for labels in LABEL_SETS.values()}
    for labels in LABEL_SETS.values():
        said |= {words for label in labels.labels for words in (label.name, label.doubt) if words}
    assert said == TERMS
