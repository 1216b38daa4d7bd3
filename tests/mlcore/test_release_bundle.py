"""Release folders: whole or not at all, never overwritten, and nothing loaded that was changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from mlcore import bundle
from mlcore.bundle import (
    MANIFEST,
    ReleaseError,
    latest,
    list_releases,
    load_release,
    new_folder,
    sha256_of,
    write_release,
)
from mlcore.labels import UnknownLabelSetError, label_set

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.bundle import Release


def _facts(key: str = "clinical5", version: str = "1.0.0", **changed: Any) -> dict[str, Any]:
    return {
        "label_set": key,
        "version": version,
        "labels": list(label_set(key).keys),
        "input_side": 64,
        "temperature": 1.0,
        "answer_threshold": 0.5,
        "triage_threshold": 0.3,
        "quality": {"min_spread": 2, "min_luma": 40, "max_luma": 235, "min_sharpness": 0.2},
    } | changed


def _fill(folder: Path) -> None:
    (folder / "model.tflite").write_bytes(b"network")
    (folder / "metrics.json").write_text('{"figures": {"accuracy": 0.5}}')


def _write(releases: Path, key: str = "clinical5", version: str = "1.0.0") -> Release:
    return write_release(releases, _facts(key, version), _fill)


def test_a_release_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made = _write(tmp_path)
    assert made.folder == tmp_path / "clinical5" / "1.0.0"
    again = load_release(made.folder)
    assert (again.key, again.version, again.input_side) == ("clinical5", "1.0.0", 64)
    assert again.labels is label_set("clinical5")
    assert again.metrics() == {"figures": {"accuracy": 0.5}}
    assert again.file("model.tflite").read_bytes() == b"network"
    assert again.artefact_sha256 == sha256_of(made.folder / MANIFEST)
    assert again.manifest["files"]["model.tflite"]["bytes"] == 7
    assert [path.name for path in made.folder.parent.iterdir()] == ["1.0.0"]


def test_a_file_that_the_manifest_does_not_name_is_not_served(tmp_path: Path) -> None:
    made = _write(tmp_path)
    (made.folder / "model.keras").write_bytes(b"smuggled in")
    with pytest.raises(ReleaseError, match=r"no model\.keras in its manifest"):
        load_release(made.folder).file("model.keras")


@pytest.mark.parametrize("name", ["model.tflite", "metrics.json"])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, name: str) -> None:
    file = _write(tmp_path).folder / name
    kept = file.read_bytes()
    file.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    with pytest.raises(ReleaseError, match=f"{name} was changed"):
        load_release(file.parent)
    file.unlink()
    with pytest.raises(ReleaseError, match=f"{name} is missing"):
        load_release(file.parent)


def _change(folder: Path, **facts: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"labels": ["melanoma", "acne", "peeling_skin", "ring_worm", "vitiligo"]}, "other labels"),
        ({"labels": ["acne"]}, "other labels"),
        ({"label_set": "isic9"}, "other labels than isic9"),
        ({"label_set": "isic10"}, "is for 'isic10'"),
        ({"label_set": ["isic9"]}, "is for"),
        ({"format": 2}, "has format 2; this program reads 1"),
        ({"files": ["model.tflite"]}, "does not name its files"),
        ({"files": {"model.tflite": "abc"}}, "does not name its files"),
        ({"files": {"model.tflite": {}}}, "was changed"),
        ({"files": {"../1.0.0/model.tflite": {"sha256": ""}}}, "is missing"),
    ],
)
def test_a_manifest_that_is_not_ours_is_refused(
    tmp_path: Path, facts: dict[str, Any], sentence: str
) -> None:
    folder = _write(tmp_path).folder
    _change(folder, **facts)
    with pytest.raises(ReleaseError, match=sentence):
        load_release(folder)


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"version": 1}, "'1' of version"),
        ({"input_side": "x"}, "'x' of input_side, where a whole number from 16 to 1024"),
        ({"input_side": True}, "of input_side"),
        ({"input_side": 176.0}, "of input_side"),
        ({"input_side": 100_000}, "of input_side"),
        ({"temperature": "abc"}, "'abc' of temperature, where a number above 0"),
        ({"temperature": 0}, "of temperature"),
        ({"temperature": float("nan")}, "of temperature"),
        ({"answer_threshold": 1.2}, "of answer_threshold"),
        ({"triage_threshold": None}, "of triage_threshold"),
        ({"quality": []}, "of quality"),
        ({"quality": {"min_spread": 2}}, "of quality"),
        ({"quality": _facts()["quality"] | {"min_glare": 1}}, "no unknown name"),
        ({"quality": _facts()["quality"] | {"min_luma": "40"}}, "of quality"),
        ({"gate": {}}, "of gate, where a list of checks"),
        ({"gate": {"checks": [{"name": "labels", "detector": "head"}]}}, "of gate"),
        ({"offsets": [0.1]}, "of offsets, where one number a label"),
        ({"melanoma_raised": "much"}, "of melanoma_raised"),
        ({"recipe": "isic9_lite0"}, "of recipe"),
    ],
)
def test_a_manifest_that_no_picture_could_be_judged_by_is_refused(
    tmp_path: Path, facts: dict[str, Any], sentence: str
) -> None:
    folder = _write(tmp_path).folder
    _change(folder, **facts)
    with pytest.raises(ReleaseError, match=sentence) as refused:
        load_release(folder)
    assert str(folder / MANIFEST) in str(refused.value)


@pytest.mark.parametrize("text", ["not json", "[]"])
def test_figures_that_cannot_be_read_name_their_file(tmp_path: Path, text: str) -> None:
    def fill(folder: Path) -> None:
        _fill(folder)
        (folder / "metrics.json").write_text(text)

    made = write_release(tmp_path, _facts(), fill)
    with pytest.raises(ReleaseError, match=r"metrics\.json (is not readable|holds no figures)"):
        made.metrics()


@pytest.mark.parametrize("text", ["", "not json", "[]", "{}", '{"format": 1}'])
def test_a_manifest_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    folder = _write(tmp_path).folder
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ReleaseError, match="make the release again"):
        load_release(folder)


def test_a_folder_without_a_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no manifest\.json"):
        load_release(tmp_path / "nowhere")


def test_a_release_is_never_overwritten(tmp_path: Path) -> None:
    kept = _write(tmp_path)
    before = {path.name: sha256_of(path) for path in kept.folder.iterdir()}
    with pytest.raises(ReleaseError, match=r"never overwritten\. Choose a new version"):
        _write(tmp_path)
    assert {path.name: sha256_of(path) for path in kept.folder.iterdir()} == before


@pytest.mark.parametrize("version", ["1", "1.0", "v1.0.0", "1.0.0-rc1", "../1.0.0", "1.0.0\n", ""])
def test_a_version_has_three_numbers(tmp_path: Path, version: str) -> None:
    with pytest.raises(ReleaseError, match=r"write it like 1\.2\.3"):
        new_folder(tmp_path, "clinical5", version)
    with pytest.raises(ReleaseError, match=r"write it like 1\.2\.3"):
        _write(tmp_path, version=version)


def test_a_release_that_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def broken(folder: Path) -> None:
        _fill(folder)
        msg = "conversion failed"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="conversion failed"):
        write_release(tmp_path, _facts(), broken)
    assert list((tmp_path / "clinical5").iterdir()) == []
    _write(tmp_path)


def test_a_release_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "MOST_BYTES", 20)
    with pytest.raises(ReleaseError, match="20 are allowed"):
        _write(tmp_path)
    assert list_releases(tmp_path) == []


def test_releases_are_listed_by_set_and_number(tmp_path: Path) -> None:
    for version in ("1.10.0", "1.9.0", "0.2.0"):
        _write(tmp_path, version=version)
    _write(tmp_path, "isic9", "2.0.0")
    (tmp_path / "clinical5" / ".draft-x").mkdir()
    (tmp_path / "clinical5" / "3.0.0").mkdir()
    (tmp_path / "clinical5" / "notes").mkdir()
    (tmp_path / "clinical5" / "notes" / MANIFEST).write_text("{}")
    listed = [path.relative_to(tmp_path).as_posix() for path in list_releases(tmp_path)]
    assert listed == ["clinical5/0.2.0", "clinical5/1.9.0", "clinical5/1.10.0", "isic9/2.0.0"]
    assert latest("clinical5", tmp_path).name == "1.10.0"


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert list_releases(tmp_path) == []
    with pytest.raises(ReleaseError, match="no release of isic9"):
        latest("isic9", tmp_path)
    with pytest.raises(UnknownLabelSetError):
        latest("isic10", tmp_path)
