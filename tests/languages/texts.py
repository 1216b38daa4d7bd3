"""Every text that the source marks for translation, found without gettext's own tools."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from django.utils.translation.template import templatize

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
_PLAIN = {"_", "gettext", "gettext_lazy", "gettext_noop"}
_PLURAL = {"ngettext", "ngettext_lazy"}
_IN_CONTEXT = {"pgettext", "pgettext_lazy"}
_WORDS = r"""u?(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
_CALL = re.compile(rf"(?<![\w.])(npgettext|pgettext|ngettext|gettext|_)\(((?:{_WORDS}(?:,\s*)?)+)")


class Text(NamedTuple):
    """One text: the context that tells it from another of the same words, and both its forms."""

    words: str
    plural: str = ""
    context: str = ""


def marked_texts() -> dict[Text, str]:
    """Return every text of the application with a file that it stands in."""
    found: dict[Text, str] = {}
    for folder in ("classifier", "skinapp"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "migrations" not in path.parts:
                for text in _of_python(ast.parse(path.read_text(encoding="utf-8"))):
                    found.setdefault(text, str(path.relative_to(ROOT)))
    for path in sorted((ROOT / "templates").rglob("*.*")):
        for text in _of_template(path.read_text(encoding="utf-8")):
            found.setdefault(text, str(path.relative_to(ROOT)))
    return found


def _of_python(tree: ast.Module) -> Iterator[Text]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            words = [each.value for each in node.args if isinstance(each, ast.Constant)]
            said = [each for each in words if isinstance(each, str)]
            if node.func.id in _PLAIN and said:
                yield Text(said[0])
            elif node.func.id in _PLURAL:
                yield Text(said[0], plural=said[1])
            elif node.func.id in _IN_CONTEXT:
                yield Text(said[1], context=said[0])


def _of_template(source: str) -> Iterator[Text]:
    for name, arguments in _CALL.findall(templatize(source)):
        said = ast.literal_eval(f"({arguments.rstrip(', ')},)")
        # Django writes a % of a template as %% for gettext, and shows it as one.
        if name == "ngettext":
            yield Text(said[0], plural=said[1])
        elif name == "pgettext":
            yield Text(said[1], context=said[0])
        elif name == "npgettext":
            yield Text(said[1], plural=said[2], context=said[0])
        else:
            yield Text(said[0])
