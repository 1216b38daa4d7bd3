"""Reading ``docker-compose.yml`` as Docker Compose does, without Docker."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

COMPOSE = ROOT / "docker-compose.yml"
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\})")


class MissingVariableError(ValueError):
    """A variable without a default is not set; the message is the file's own sentence."""


def text() -> str:
    """Return the file's text."""
    return COMPOSE.read_text(encoding="utf-8")


def raw() -> dict[str, Any]:
    """Return the file with its anchors merged and its variables as they stand."""
    content: dict[str, Any] = yaml.safe_load(text())
    return content


def variables() -> dict[str, bool]:
    """Return every variable of the file, and whether something has to be set."""
    return {
        found["name"]: found["how"] == ":?" for found in _VARIABLE.finditer(text()) if found["name"]
    }


def services(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the services with every variable replaced.

    Raises:
        MissingVariableError: one that has to be set is missing or empty.
    """
    filled: dict[str, Any] = _fill(raw()["services"], environment)
    return filled


def _fill(node: Any, environment: Mapping[str, str]) -> Any:
    if isinstance(node, dict):
        return {key: _fill(value, environment) for key, value in node.items()}
    if isinstance(node, list):
        return [_fill(value, environment) for value in node]
    if isinstance(node, str):
        return _VARIABLE.sub(lambda found: _value(found, environment), node)
    return node


def _value(found: re.Match[str], environment: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    value = environment.get(found["name"], "")
    if value:
        return value
    if found["how"] == ":-":
        return found["rest"] or ""
    raise MissingVariableError(found["rest"] or f"{found['name']} is not set")
