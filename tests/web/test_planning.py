"""What is done so that a page is quick: how PostgreSQL plans, and what is rendered once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from django import forms
from django.db import connection
from django.forms.renderers import DjangoTemplates, TemplatesSetting
from django.template import Context, Template
from django.test.html import parse_html
from django.utils import timezone
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

from classifier.choices import BodySite, Modality, label_of
from classifier.templatetags.skinapp import moment, render_component


@pytest.fixture(autouse=True)
def _nothing_rendered_yet() -> Iterator[None]:
    render_component.cache_clear()
    yield
    render_component.cache_clear()


def render(text: str, **facts: Any) -> str:
    """Return a template's text."""
    return Template("{% load skinapp %}" + text).render(Context(facts))


@pytest.mark.django_db(transaction=True)
def test_every_connection_plans_quickly() -> None:
    connection.close()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('join_collapse_limit'), current_setting('jit')")
        assert cursor.fetchone() == ("6", "off")


def test_a_component_is_rendered_once_for_each_of_its_faces() -> None:
    badge = '{% component "state_badge" state=state %}'
    failed, queued = render(badge, state="failed"), render(badge, state="queued")
    assert "Failed" in failed
    assert "Queued" in queued
    assert render(badge, state="failed") == failed
    told = render_component.cache_info()
    assert (told.misses, told.hits) == (2, 1)


def test_each_language_has_its_own() -> None:
    badge = '{% component "state_badge" state="failed" %}'
    assert "Failed" in render(badge)
    with override("de"):
        assert "Fehlgeschlagen" in render(badge)


def test_what_is_safe_to_show_vouches_for_nothing_else() -> None:
    icon = '{% component "icon" name="x" icon_label=words %}'
    assert "<b>" in render(icon, words=mark_safe("<b>"))
    assert "<b>" not in render(icon, words="<b>")


def test_whoever_writes_templates_sees_what_was_just_changed(settings: Any) -> None:
    settings.DEBUG = True
    assert render('{% component "icon" name="plus" %}').count("#plus") == 1
    assert render_component.cache_info().currsize == 0


def test_a_choice_is_shown_in_the_language_of_whoever_reads() -> None:
    assert label_of(Modality, "clinical") == str(Modality.CLINICAL.label)
    with override("de"):
        assert label_of(BodySite, "face") == "Gesicht"
    assert label_of(Modality, "of an older version") == "of an older version"


def test_a_moment_is_shown_to_the_minute_and_told_exactly() -> None:
    at = datetime(2026, 3, 1, 9, 5, 59, tzinfo=UTC)
    assert moment(at) == '<time datetime="2026-03-01T09:05:59+00:00">2026-03-01 09:05</time>'
    assert render("{{ at|moment }}{{ nobody.at|moment }}", at=None) == ""
    with timezone.override("Asia/Tokyo"):
        assert "2026-03-01 18:05<" in render("{{ at|moment }}", at=at)


class _Named(forms.Select):
    """A select whose options have attributes of their own."""

    def create_option(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(*args, **kwargs)
        option["attrs"] |= {"disabled": option["value"] == 3, "data-n": option["index"]}
        return option


@pytest.mark.parametrize("value", [None, "", 1, 3, "<x>"])
def test_our_select_says_what_djangos_own_says(value: Any) -> None:
    choices = [("", "Any"), ("Group & co", [(1, "One <b>"), (3, "Three")]), ("<x>", _("Patient"))]
    select = _Named(choices=choices, attrs={"class": "x", "required": True, "hidden": False})
    ours = select.render("name", value, renderer=TemplatesSetting())
    theirs = select.render("name", value, renderer=DjangoTemplates())
    assert ours != theirs
    assert parse_html(ours) == parse_html(theirs)
