"""Contact sheets: the pictures of a finding side by side, with what was measured."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFont

from mlcore.audit.measure import open_picture
from mlcore.audit.report import by_kind
from mlcore.data.tables import DataError
from mlcore.imaging import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mlcore.audit.audit import Audit
    from mlcore.audit.findings import Finding
    from mlcore.audit.layout import Item

PER_SHEET = 24
_COLUMNS = 3
_TILE = 180
_GAP = 12
_CAPTION = 92
_TEXT = 11
_PAPER, _INK, _NOTE = "white", "black", "#a00000"


def write_sheets(audit: Audit, folder: Path) -> dict[str, list[Path]]:
    """Write contact sheets of every kind of finding that has pictures to show.

    The sheets hold pictures of the set: they belong where the set belongs, never into a
    repository. Files of the same names are written over; nothing else in the folder is touched.

    Args:
        audit: the audit.
        folder: made when it is not there.

    Returns:
        The files by kind of finding.

    Raises:
        DataError: the folder lies inside the audited one or a repository, or cannot be written.
    """
    whole = folder.resolve()
    if any((parent / ".git").exists() for parent in (whole, *whole.parents)):
        msg = f"{folder} lies in a git repository, where pictures of a set must not end up."
        raise DataError(msg)
    if whole.is_relative_to(audit.layout.root.resolve()):
        msg = f"{folder} lies inside the audited folder; name another one for the contact sheets."
        raise DataError(msg)
    items = {entry.item.name: entry.item for entry in audit.measured if entry.facts is not None}
    written: dict[str, list[Path]] = {}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for kind, findings in by_kind(audit).items():
            rows = list(_rows(findings, items))
            for start in range(0, len(rows), PER_SHEET):
                path = folder / f"{kind}-{start // PER_SHEET + 1:02d}.jpg"
                draw_sheet(rows[start : start + PER_SHEET], items).save(path, quality=88)
                written.setdefault(kind, []).append(path)
    except OSError as error:
        msg = f"The contact sheets cannot be written to {folder}: {error.strerror or error}."
        raise DataError(msg) from error
    except ImageError as error:
        msg = "A picture changed while it was audited; audit again."
        raise DataError(msg) from error
    return written


def _rows(
    findings: Sequence[Finding], items: dict[str, Item]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the files of each row of pictures and the caption."""
    for finding in findings:
        for pair in finding.pairs or [finding.files[:2]]:
            names = tuple(name for name in pair if name in items)
            if names:
                yield names, finding.says


def draw_sheet(rows: Sequence[tuple[tuple[str, ...], str]], items: dict[str, Item]) -> Image.Image:
    """Draw one sheet.

    Args:
        rows: one or two file names and a caption each.
        items: the files by name.
    """
    font = ImageFont.load_default(_TEXT)
    wide, high = 2 * _TILE + 2 * _GAP, _TILE + _CAPTION + _GAP
    lines = -(-len(rows) // _COLUMNS)
    sheet = Image.new("RGB", (wide * min(_COLUMNS, len(rows)) + _GAP, high * lines + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, (names, caption) in enumerate(rows):
        left = _GAP + number % _COLUMNS * wide
        top = _GAP + number // _COLUMNS * high
        for place, name in enumerate(names):
            picture = open_picture(items[name].path)
            picture.thumbnail((_TILE, _TILE))
            at = left + place * (_TILE + _GAP // 2)
            sheet.paste(picture, (at, top))
            label = f"{items[name].split} {items[name].label}".strip() or name
            pen.text((at, top + _TILE + 2), label[:30], _INK, font)
        for line, words in enumerate(textwrap.wrap(caption, 2 * _TILE // 6)[:5]):
            pen.text((left, top + _TILE + 18 + 14 * line), words, _NOTE, font)
    return sheet
