"""One page about a folder, for the person who has to clean it."""

from __future__ import annotations

import html
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcore.audit.findings import DECIDE, FIX, KINDS, Finding
from mlcore.audit.manifest import ACTIONS, DROP, REVIEW
from mlcore.audit.pairs import LIKENESS
from mlcore.data.tables import DataError
from mlcore.whole import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from mlcore.audit.audit import Audit
    from mlcore.audit.findings import Kind

_EXAMPLES = 3
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}"
    "th,td{border:1px solid #999;padding:.25rem .6rem;text-align:left;vertical-align:top}"
    "li{overflow-wrap:anywhere}"
)
_BLIND = (
    "Not found for certain: a cropped copy, a copy turned by less than a quarter. Not found: other "
    "photographs of a lesion that no table names, copies in sets that were not compared, and a "
    "label that is wrong on every copy of a picture."
)


@dataclass(frozen=True)
class _Block:
    """A heading, a paragraph, a list or a table of the page."""

    kind: str
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()


def by_kind(audit: Audit) -> dict[str, list[Finding]]:
    """Return the findings by kind, most important kind first."""
    found: dict[str, list[Finding]] = {key: [] for key in KINDS}
    for finding in audit.findings:
        found[finding.kind].append(finding)
    return {key: findings for key, findings in found.items() if findings}


def verdict(audit: Audit) -> str:
    """Return what the audit comes to, in one or two sentences."""
    found = by_kind(audit)
    urgent = Counter(KINDS[key].urgency for key in found)
    if not audit.findings:
        return f"Nothing was found in the {len(audit.measured)} files of {audit.name}."
    if urgent[FIX]:
        firsts = [key for key in found if KINDS[key].urgency == FIX]
        what = "; ".join(f"{_lower(KINDS[key].title)} ({len(found[key])})" for key in firsts)
        return f"Do not train on {audit.name} as it is: {what}."
    if urgent[DECIDE]:
        return f"{audit.name} can be trained on once somebody has decided about what is below."
    return f"{audit.name} has no fault that training would suffer from; some files need a look."


def summary(audit: Audit) -> list[str]:
    """Return the lines for a terminal."""
    lines = [verdict(audit)]
    for key, findings in by_kind(audit).items():
        kind = KINDS[key]
        lines.append(f"  {kind.urgency}: {kind.title}: {_number(findings)}")
        lines.append(f"    for example: {findings[0].says}")
        lines.append(f"    {kind.advice}")
    lines.append(_actions(audit))
    return lines + [f"Note: {note}" for note in audit.notes]


def as_data(audit: Audit) -> dict[str, Any]:
    """Return the whole audit in plain types, for JSON."""
    return {
        "folder": audit.name,
        "files": len(audit.measured),
        "verdict": verdict(audit),
        "classes": [
            {"split": split, "class": label, "pictures": number}
            for (split, label), number in sorted(audit.counts.items())
        ],
        "findings": [
            {
                "kind": f.kind,
                "urgency": KINDS[f.kind].urgency,
                "files": list(f.files),
                "says": f.says,
                "advice": KINDS[f.kind].advice,
            }
            for f in audit.findings
        ],
        "actions": dict(_counted(audit)),
        "notes": list(audit.notes),
    }


def write_report(audit: Audit, path: Path, sheets: Mapping[str, Sequence[Path]]) -> None:
    """Write the page as HTML when the name ends so, else as Markdown.

    Args:
        audit: the audit.
        path: the file; it is written over.
        sheets: the contact sheets of a kind, to point to.

    Raises:
        DataError: the file cannot be written.
    """
    blocks = _page(audit, sheets)
    as_html = path.suffix.lower() in {".html", ".htm"}
    text = _html(blocks, audit.name) if as_html else _markdown(blocks)
    try:
        write_whole(path, text)
    except OSError as error:
        msg = f"The report {path} cannot be written: {error.strerror or error}."
        raise DataError(msg) from error


def _page(audit: Audit, sheets: Mapping[str, Sequence[Path]]) -> list[_Block]:
    found = by_kind(audit)
    blocks = [_Block("h1", f"Audit of {audit.name}"), _Block("p", verdict(audit))]
    blocks.append(_Block("p", _holds(audit)))
    if found:
        rows = tuple(
            (kind.urgency, kind.title, str(len(found[key])), _files(found[key]), kind.advice)
            for key, kind in KINDS.items()
            if key in found
        )
        head = ("how urgent", "what", "findings", "files", "what to do")
        blocks += [_Block("table", rows=(head, *rows)), _Block("p", _actions(audit))]
    blocks += [_Block("p", f"Note: {note}") for note in audit.notes]
    for key, findings in found.items():
        blocks += _section(KINDS[key], findings, sheets.get(key, ()))
    blocks += [_Block("h2", "Classes"), _Block("table", rows=_classes(audit))]
    blocks += [_Block("h2", "What an audit cannot find"), _Block("p", _BLIND)]
    how = (
        "Copies are found by their bytes, their pixels, and a hash of 256 bits as they are, "
        f"mirrored and turned by quarters; a likeness of {LIKENESS} or more in the middle of the "
        "picture decides. Colours are judged by median and median absolute deviation in L*a*b*."
    )
    return [*blocks, _Block("p", how)]


def _section(kind: Kind, findings: Sequence[Finding], sheets: Sequence[Path]) -> list[_Block]:
    shown = tuple((finding.says,) for finding in findings[:_EXAMPLES])
    if len(findings) > _EXAMPLES:
        shown += ((f"and {len(findings) - _EXAMPLES} more; the manifest names every file.",),)
    blocks = [
        _Block("h2", f"{kind.title}: {_number(findings)}"),
        _Block("p", kind.why),
        _Block("list", rows=shown),
    ]
    if sheets:
        blocks.append(_Block("p", "Contact sheets: " + ", ".join(s.name for s in sheets) + "."))
    return blocks


def _holds(audit: Audit) -> str:
    by_split: dict[str, int] = defaultdict(int)
    for (split, _), number in audit.counts.items():
        by_split[split] += number
    parts = [f"{split} {by_split[split]}" for split in audit.layout.splits]
    labels = {label for _, label in audit.counts if label}
    said = (
        f"{len(audit.measured)} files, {len(labels)} classes"
        if labels
        else (
            f"{len(audit.measured)} files without classes: only what needs no label was looked at"
        )
    )
    beside = f"; {audit.layout.beside} other files (tables, notes) were passed over"
    return (
        said
        + (f"; {', '.join(parts)}" if parts else "")
        + (beside if audit.layout.beside else "")
        + "."
    )


def _classes(audit: Audit) -> tuple[tuple[str, ...], ...]:
    splits = audit.layout.splits or ("",)
    labels = {label for _, label in audit.counts} | {label for _, label in audit.layout.folders}
    left = Counter((e.item.split, r.label) for e, r in _rows(audit) if r.action != DROP)
    head = ["class"]
    for split in splits:
        head += [split or "pictures", f"{split} after the manifest".strip()]
    rows = [
        (label or "(none)", *_cells(audit.counts, left, splits, label)) for label in sorted(labels)
    ]
    return (tuple(head), *rows)


def _cells(
    counts: Counter[tuple[str, str]],
    left: Counter[tuple[str, str]],
    splits: Sequence[str],
    label: str,
) -> list[str]:
    return [str(table[split, label]) for split in splits for table in (counts, left)]


def _rows(audit: Audit) -> list[tuple[Any, Any]]:
    return list(zip(audit.measured, audit.rows, strict=True))


def _counted(audit: Audit) -> Counter[str]:
    return Counter(row.action for row in audit.rows)


def _actions(audit: Audit) -> str:
    counted = _counted(audit)
    proposes = ", ".join(f"{action} {counted[action]}" for action in ACTIONS)
    reviewed = "; a person decides about the files to review"
    return f"The manifest proposes: {proposes}{reviewed if counted[REVIEW] else ''}."


def _number(findings: Sequence[Finding]) -> str:
    files = _files(findings)
    same = not files or all(len(finding.files) == 1 for finding in findings)
    return f"{len(findings)}" if same else f"{len(findings)} ({files} files)"


def _files(findings: Sequence[Finding]) -> str:
    files = {name for finding in findings for name in finding.files}
    return str(len(files)) if files else ""


def _lower(title: str) -> str:
    return title[0].lower() + title[1:]


def _markdown(blocks: Sequence[_Block]) -> str:
    parts = []
    for block in blocks:
        if block.kind in {"h1", "h2"}:
            parts.append("#" * int(block.kind[1]) + f" {_plain(block.text)}")
        elif block.kind == "p":
            parts.append(_plain(block.text))
        elif block.kind == "list":
            parts.append("\n".join(f"- {_plain(row[0])}" for row in block.rows))
        else:
            head, *rows = ([_plain(cell) for cell in row] for row in block.rows)
            lines = [head, ["---"] * len(head), *rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _plain(text: str) -> str:
    """Return text that Markdown does not take for markup: file names hold anything."""
    for character in "\\`*_[]<>|":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def _html(blocks: Sequence[_Block], name: str) -> str:
    parts = []
    for block in blocks:
        if block.kind == "list":
            items = "".join(f"<li>{html.escape(row[0])}</li>" for row in block.rows)
            parts.append(f"<ul>{items}</ul>")
        elif block.kind == "table":
            head, *rows = block.rows
            lines = ["".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in head)]
            lines += ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in rows]
            parts.append("<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>")
        else:
            parts.append(f"<{block.kind}>{html.escape(block.text)}</{block.kind}>")
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>Audit of {html.escape(name)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )
