"""What a person sees when something is refused, missing or broken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from django.template.loader import get_template
from django.test import Client
from django.urls import reverse

if TYPE_CHECKING:
    from tests.conftest import Cast


def test_a_missing_page_keeps_the_navigation(cast: Cast) -> None:
    response = cast.client_of(cast.owner).get("/no/such/page/")
    text = response.content.decode()
    assert response.status_code == 404
    assert "There is no such page" in text
    assert reverse("worklist") in text
    assert "Ada Example" not in text


def test_a_page_nobody_has_says_the_same_to_nobody(db: None) -> None:
    response = Client().get("/no/such/page/")
    assert response.status_code == 404
    assert 'aria-label="Main"' not in response.content.decode()


def test_a_refusal_carries_its_reason(cast: Cast) -> None:
    response = cast.client_of(cast.read_only).get(reverse("patient_create"))
    assert response.status_code == 403
    assert (
        "Your role in this clinic lets you look, not change anything." in response.content.decode()
    )


def test_an_outdated_form_says_what_to_do(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    response = client.post(reverse("patient_create"), {"name": "Bea Example"})
    assert response.status_code == 403
    assert "load the page again" in response.content.decode()


@pytest.mark.parametrize("name", ["400.html", "500.html", "503.html"])
def test_the_last_resort_needs_no_context_but_a_reference_and_no_manifest(name: str) -> None:
    template = get_template(name)
    text = template.render()
    assert '<main class="page' in text
    source = template.template.source  # type: ignore[attr-defined] # Django's own backend has it
    assert "{% static" not in source
    assert "{% url" not in source
    assert set(re.findall(r"\{\{\s*(\w+)", source)) <= {"reference", "sentence"}
    assert "R4F7K2" in template.render({"reference": "R4F7K2"}) or name == "400.html"
