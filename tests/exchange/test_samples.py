"""The samples beside the documentation are what the command writes today, from a drawn picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from fhir.resources.R4B import get_fhir_model_class

SHOWN = Path(__file__).parents[2] / "docs" / "samples"


def without_pixels(bundle: dict[str, Any]) -> dict[str, Any]:
    """Leave out what another processor's JPEG encoder may round otherwise."""
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Media":
            del entry["resource"]["content"]
    return bundle


def test_the_samples_are_those_that_the_command_writes(tmp_path: Path) -> None:
    call_command("exchange_samples", str(tmp_path))
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {path.name for path in SHOWN.iterdir()}
    bundle = json.loads((tmp_path / "report.fhir.json").read_bytes())
    get_fhir_model_class("Bundle").model_validate(bundle)
    shown = json.loads((SHOWN / "report.fhir.json").read_bytes())
    assert without_pixels(bundle) == without_pixels(shown)
    assert (tmp_path / "letter.pdf").read_bytes().startswith(b"%PDF-")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="Make it first"):
        call_command("exchange_samples", str(tmp_path / "nowhere"))
