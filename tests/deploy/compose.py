"""Reading ``docker-compose.yml`` as Docker Compose does, without Docker."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from skinapp.runtime.supervisor import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMPOSE = ROOT / "docker-compose.yml"
OBJECT_STORE = ROOT / "docker-compose.s3.yml"
WEBHOOKS = ROOT / "docker-compose.webhooks.yml"
EXAMPLE = ROOT / ".env.example"
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\})")


class MissingVariableError(ValueError):
    """A variable without a default is not set; the message is the file's own sentence."""


def raw(*more: Path) -> dict[str, Any]:
    """Return the file with its anchors merged and its variables as they stand.

    Args:
        more: files that are laid over it, as by ``COMPOSE_FILE``.
    """
    content: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    for path in more:
        content = _laid_over(content, yaml.safe_load(path.read_text(encoding="utf-8")))
    return content


def _laid_over(below: Any, above: Any) -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        both = {name: _laid_over(below[name], above[name]) for name in below.keys() & above.keys()}
        return below | above | both
    if isinstance(below, list) and isinstance(above, list):
        return below + [each for each in above if each not in below]
    return above


def variables(path: Path = COMPOSE) -> dict[str, bool]:
    """Return every variable of a file, and whether something has to be set."""
    text = path.read_text(encoding="utf-8")
    return {
        found["name"]: found["how"] == ":?" for found in _VARIABLE.finditer(text) if found["name"]
    }


def services(environment: Mapping[str, str], *more: Path) -> dict[str, Any]:
    """Return the services with every variable replaced.

    Raises:
        MissingVariableError: one that has to be set is missing or empty.
    """
    filled: dict[str, Any] = _fill(raw(*more)["services"], environment)
    return filled


def draw_secrets(folder: Path) -> Path:
    """Make ``secrets/`` in a folder by the very commands of ``.env.example``; return it."""
    lines = [line[1:].strip() for line in EXAMPLE.read_text(encoding="utf-8").splitlines()]
    begin = next(n for n, line in enumerate(lines) if line.startswith("sudo install -d"))
    end = next(n for n, line in enumerate(lines) if line.endswith("chmod 0444 *'"))
    words = "\n".join(lines[begin : end + 1]).replace("sudo ", "")
    subprocess.run(["sh", "-c", words], cwd=folder, check=True, capture_output=True)
    return folder / "secrets"


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
