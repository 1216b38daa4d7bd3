"""Releases on disk: a folder, a manifest, and a hash for every file.

``mlcore/releases/<label set>/<version>/`` holds ``model.keras`` (the source of truth),
``model.tflite`` (the same network for serving), ``manifest.json``, ``metrics.json`` and
``card.md``. Nothing is loaded from a folder whose files do not match its manifest.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcore.labels import LABEL_SETS, LabelSet, label_set
from mlcore.manifest import FORMAT_VERSION, fault_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

RELEASES = Path(__file__).parent / "releases"
MANIFEST = "manifest.json"
MOST_BYTES = 25_000_000
_VERSION = re.compile(r"\d+\.\d+\.\d+")


class ReleaseError(ValueError):
    """A release cannot be used; the message names the file and what to do."""


@dataclass(frozen=True)
class Release:
    """A verified release.

    Attributes:
        folder: where it lies.
        manifest: its facts.
        artefact_sha256: SHA-256 of ``manifest.json``, which names the hash of every other file.
    """

    folder: Path
    manifest: dict[str, Any]
    artefact_sha256: str

    @property
    def key(self) -> str:
        """Return the label set's key."""
        return str(self.manifest["label_set"])

    @property
    def version(self) -> str:
        """Return the version."""
        return str(self.manifest["version"])

    @property
    def labels(self) -> LabelSet:
        """Return the label set."""
        return label_set(self.key)

    @property
    def input_side(self) -> int:
        """Return the side of the network's square input in pixels."""
        return int(self.manifest["input_side"])

    def file(self, name: str) -> Path:
        """Return the path of a file of the release.

        Raises:
            ReleaseError: the manifest does not name it.
        """
        if name not in self.manifest["files"]:
            msg = f"{self.folder} has no {name} in its manifest; make the release again."
            raise ReleaseError(msg)
        return self.folder / name

    def metrics(self) -> dict[str, Any]:
        """Return the measured figures.

        Raises:
            ReleaseError: there are none, or they are not readable.
        """
        path = self.file("metrics.json")
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            msg = f"{path} is not readable JSON; copy the whole release folder again."
            raise ReleaseError(msg) from error
        if not isinstance(facts, dict):
            msg = f"{path} holds no figures; make the release again."
            raise ReleaseError(msg)
        return facts


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_release(folder: Path) -> Release:
    """Verify a release folder and return it.

    Raises:
        ReleaseError: a file is missing, was changed, or the manifest is not one of ours.
    """
    path = folder / MANIFEST
    if not path.is_file():
        msg = f"{folder} has no {MANIFEST}, so it is not a release."
        raise ReleaseError(msg)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        msg = f"{path} is not readable JSON; make the release again."
        raise ReleaseError(msg) from error
    if fault := fault_in(manifest):
        msg = f"{path} {fault}."
        raise ReleaseError(msg)
    for name, facts in manifest["files"].items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            msg = f"{file} is missing; copy the whole release folder again."
            raise ReleaseError(msg)
        if sha256_of(file) != facts.get("sha256"):
            msg = f"{file} was changed: its SHA-256 is not the manifest's. Restore the file."
            raise ReleaseError(msg)
    return Release(folder, manifest, sha256_of(path))


def new_folder(releases: Path, key: str, version: str) -> Path:
    """Return where a new release will lie.

    Raises:
        ReleaseError: the version is not of the form 1.2.3, or exists.
    """
    if not _VERSION.fullmatch(version):
        msg = f"{version!r} is not a version; write it like 1.2.3."
        raise ReleaseError(msg)
    target = releases / key / version
    if target.exists():
        msg = f"{target} exists already; a release is never overwritten. Choose a new version."
        raise ReleaseError(msg)
    return target


def write_release(
    releases: Path, manifest: dict[str, Any], fill: Callable[[Path], None]
) -> Release:
    """Write a release whole or not at all.

    Args:
        releases: the folder of all releases.
        manifest: every fact but ``format`` and ``files``.
        fill: writes the files into the folder it is given.

    Raises:
        ReleaseError: the version is not of the form 1.2.3, exists already, or the folder would be
            over the size limit.
    """
    target = new_folder(releases, manifest["label_set"], manifest["version"])
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=target.parent))
    try:
        fill(draft)
        paths = sorted(draft.iterdir())
        files = {
            path.name: {"sha256": sha256_of(path), "bytes": path.stat().st_size} for path in paths
        }
        size = sum(path.stat().st_size for path in paths)
        if size > MOST_BYTES:
            msg = f"The release would be {size} bytes; {MOST_BYTES} are allowed."
            raise ReleaseError(msg)
        whole = {"format": FORMAT_VERSION} | manifest | {"files": files}
        text = json.dumps(whole, indent=1, sort_keys=True) + "\n"
        (draft / MANIFEST).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        draft.rename(target)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    return load_release(target)


def counts_labels_alike(manifest: Mapping[str, Any]) -> bool:
    """Tell whether a release gives probabilities as if every label were equally frequent.

    Older releases say nothing of offsets and had none: their mix is that of the calibration part.
    """
    return "offsets" in manifest and bool(manifest.get("recipe", {}).get("even_labels"))


def list_releases(releases: Path = RELEASES) -> list[Path]:
    """Return the release folders, by label set and then by version, oldest first."""
    return [
        folder
        for key in sorted(LABEL_SETS)
        for folder in sorted((releases / key).glob("*"), key=_version_key)
        if (folder / MANIFEST).is_file() and _VERSION.fullmatch(folder.name)
    ]


def latest(key: str, releases: Path = RELEASES) -> Path:
    """Return the newest release folder of a label set.

    Raises:
        ReleaseError: there is none.
    """
    label_set(key)
    folders = [folder for folder in list_releases(releases) if folder.parent.name == key]
    if not folders:
        msg = f"There is no release of {key} under {releases}. Train one: python -m mlcore train."
        raise ReleaseError(msg)
    return folders[-1]


def _version_key(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in folder.name.split("."))
