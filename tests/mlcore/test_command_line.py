"""``python -m mlcore``: what it prints, its exit status, and a mistake in one plain line."""

from __future__ import annotations

import argparse
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mlcore import cli
from mlcore.cli import main
from mlcore.drawing import draw_clinical
from mlcore.labels import label_set
from mlcore.train.recipes import RECIPES, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlcore.bundle import Release
    from mlcore.train.recipes import Recipe

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def images(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"drawn {n}.png" for n in range(3)]
    for number, path in enumerate(paths):
        draw_clinical("acne", seed=number, size=(120, 90)).save(path)
    return [str(path) for path in paths]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, list[str], str]]:
    """Return a function that runs a command: status, lines of the output, error stream."""

    def command(*arguments: object) -> tuple[int, list[str], str]:
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return status, caught.out.splitlines(), caught.err

    return command


def _predict(made: Release, *arguments: object) -> list[object]:
    return ["predict", "--model", "clinical5", "--release", made.folder, *arguments]


def test_predict_prints_one_json_object_a_line(made: Release, images: list[str], run: Any) -> None:
    status, lines, _ = run(*_predict(made, "--json", *images))
    assert status == 0
    rows = [json.loads(line) for line in lines]
    assert [row["image"] for row in rows] == images
    for row in rows:
        assert list(row) == [
            "image",
            "model",
            "version",
            "probabilities",
            "top",
            "confidence",
            "decision",
            "reason",
        ]
        assert (row["model"], row["version"]) == ("clinical5", "1.0.0")
        assert set(row["probabilities"]) == set(label_set("clinical5").keys)
        assert sum(row["probabilities"].values()) == pytest.approx(1)
        assert row["confidence"] == row["probabilities"][row["top"]]
        assert row["decision"] in {"answer", "cannot_say", "rejected"}
        assert (row["reason"] == "") == (row["decision"] == "answer")


def test_a_file_that_is_no_picture_has_its_line_and_status_1(
    made: Release, images: list[str], tmp_path: Path, run: Any
) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("no picture")
    cut = tmp_path / "cut.png"
    cut.write_bytes(Path(images[0]).read_bytes()[:400])
    bad = [text, cut, tmp_path / "gone.jpg", tmp_path]
    status, lines, _ = run(*_predict(made, "--json", bad[0], images[0], *bad[1:], images[1]))
    rows = [json.loads(line) for line in lines]
    assert status == 1
    assert [row["probabilities"] is None for row in rows] == [True, False, True, True, True, False]
    for row in rows:
        if row["probabilities"] is None:
            assert (row["decision"], row["top"], row["confidence"]) == ("rejected", None, None)
            assert row["reason"].endswith(".")
    assert "not a picture" in rows[0]["reason"]
    assert "No such file" in rows[3]["reason"]


def test_a_picture_that_is_too_large_is_not_read_whole(
    made: Release, tmp_path: Path, run: Any
) -> None:
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as stream:
        stream.write(b"\xff\xd8\xff")
        os.truncate(stream.fileno(), 60 * 1024 * 1024)
    status, lines, _ = run(*_predict(made, "--json", huge))
    assert status == 1
    assert "too large" in json.loads(lines[0])["reason"]


def test_batches_do_not_change_answers_or_order(
    made: Release, images: list[str], run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(*_predict(made, "--json", *images))[1]
    monkeypatch.setattr(cli.predict, "BATCH", 2)
    parts = run(*_predict(made, "--json", *images))[1]
    for one, other in zip(map(json.loads, whole), map(json.loads, parts), strict=True):
        assert one["image"] == other["image"]
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_predict_speaks_to_people_too(made: Release, images: list[str], run: Any) -> None:
    status, lines, _ = run(*_predict(made, images[0]))
    assert status == 0
    assert lines[0].startswith(images[0] + ": ")
    assert not lines[0].startswith("{")
    rows = [json.loads(line) for line in run(*_predict(made, "--json", images[0]))[1]]
    assert cli.predict._in_words(rows[0] | {"decision": "answer"}, "skin cancer").endswith(
        f"{rows[0]['top']} ({rows[0]['confidence']:.0%}); worst plausible group: skin cancer"
    )
    unsure = rows[0] | {"decision": "cannot_say", "reason": "Not sure."}
    assert cli.predict._in_words(unsure, None).endswith(": cannot_say: Not sure.")


def test_predict_needs_neither_django_nor_a_server(made: Release, images: list[str]) -> None:
    code = (
        "import sys; sys.modules['django'] = None; sys.modules['celery'] = None\n"
        "from mlcore.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'tensorflow', 'keras'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "sys.exit(status)"
    )
    arguments = [str(argument) for argument in _predict(made, "--json", images[0])]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DJANGO", "DATABASE"))}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["image"] == images[0]


def test_the_module_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mlcore", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    for command in ("predict", "train", "release", "evaluate", "verify", "audit", "curate"):
        assert command in done.stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("train", "--recipe", "best"), "There is no recipe 'best'"),
        (("train", "--recipe", "clinical5_lite0", "--data", "{tmp}/none"), "No image sets at"),
        (("train", "--recipe", "clinical5_lite0", "--data", "{tmp}"), "clinical5/train is missing"),
        (("evaluate", "clinical5_lite0", "--runs", "{tmp}"), "0 of 26 epochs are done"),
        (("evaluate", "clinical5", "--releases", "{tmp}"), "There is no release of clinical5"),
        (("evaluate", "nothing"), "There is no recipe 'nothing'"),
        (("evaluate", "clinical5", "--split", "test"), "--split test needs --test-looks"),
        (("verify", "{tmp}"), "so it is not a release"),
        (("curate", "--data", "{tmp}/none"), "No image sets at"),
        (
            ("predict", "--model", "isic9", "--release", "{tmp}", "x.jpg"),
            "so it is not a release",
        ),
        (
            ("release", "--recipe", "clinical5_lite0", "--version", "1", "--test-looks", "1"),
            "is not a version",
        ),
        (
            (
                *("release", "--recipe", "clinical5_lite0", "--runs", "{tmp}"),
                *("--version", "9.9.9", "--test-looks", "1"),
            ),
            "0 of 26 epochs are done. Go on with: python -m mlcore train",
        ),
    ],
)
def test_a_mistake_is_one_plain_line_and_status_2(
    tmp_path: Path, run: Any, arguments: tuple[str, ...], sentence: str
) -> None:
    status, lines, errors = run(*(a.format(tmp=tmp_path) for a in arguments))
    assert (status, lines) == (2, [])
    assert errors.startswith("mlcore: ")
    assert sentence in errors
    assert len(errors.strip().splitlines()) == 1
    assert "Traceback" not in errors


@pytest.mark.parametrize("looks", ["0", "-1", "once"])
def test_looks_at_the_test_split_are_counted(looks: str, run: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("evaluate", "clinical5", "--split", "test", "--test-looks", looks)
    assert stopped.value.code == 2


def test_a_release_of_another_set_or_an_unknown_engine_is_said(
    made: Release, images: list[str], run: Any
) -> None:
    wrong = ["predict", "--model", "isic9", "--release", made.folder, images[0]]
    assert "is a release of clinical5, not of isic9" in run(*wrong)[2]
    assert "There is no engine 'onnx'" in run(*_predict(made, "--engine", "onnx", images[0]))[2]


def test_a_changed_release_is_not_used(
    made: Release, images: list[str], tmp_path: Path, run: Any
) -> None:
    copy = shutil.copytree(made.folder, tmp_path / "copy")
    (copy / "model.tflite").write_bytes(b"other")
    status, lines, errors = run("predict", "--model", "clinical5", "--release", copy, images[0])
    assert (status, lines) == (2, [])
    assert "model.tflite was changed" in errors


def test_verify_says_that_a_release_is_whole(
    made: Release, run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for engine in ("litert", "tensorflow"):
        status, lines, _ = run("verify", made.folder, "--engine", engine)
        assert status == 0
        assert lines[0].startswith("clinical5 1.0.0: whole; golden answers within")
        assert lines[0].endswith(f"on {engine}")
    monkeypatch.setattr(cli.verify, "list_releases", list)
    assert "There is no release" in run("verify")[2]


def test_evaluate_compares_a_run_with_its_release(
    made: Release,
    tiny: Recipe,
    finished_runs: Path,
    clinical_root: Path,
    run: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlcore.cli.options import pictures
    from mlcore.train.loop import load_trained, predict_logits

    monkeypatch.setattr("mlcore.figures.bootstrap.REPLICATES", 50)
    common = ["--runs", finished_runs, "--data", clinical_root]
    common += ["--releases", made.folder.parents[1]]
    status, lines, _ = run("evaluate", tiny.name, "clinical5", *common)
    assert status == 0
    assert lines[0] == "| measure | tiny_clinical5 | clinical5 |"
    test = ["--split", "test", "--test-looks", "4", "--json"]
    status, lines, _ = run("evaluate", tiny.name, "clinical5", *common, *test)
    whole = json.loads("\n".join(lines))
    assert (status, whole["split"], whole["test_looks"]) == (0, "test", 4)
    trained, released = whole["figures"][tiny.name], whole["figures"]["clinical5"]
    assert trained["images"] == released["images"] == 10
    # Rounding to half precision changes no answer here, and the temperature only how sure it is:
    # what the release answers is the run's logits with the offsets added.
    options = argparse.Namespace(data=clinical_root)
    part = pictures(options, tiny, 1, ("test",))["test"]
    run_of = load_trained(tiny, folder=finished_runs / f"{tiny.name}-1", seed=1)
    logits = predict_logits(run_of.model, part.squares(tiny.side)) + made.manifest["offsets"]
    accuracy = float((logits.argmax(axis=1) == part.labels).mean())
    assert released["figures"]["accuracy"]["value"] == pytest.approx(accuracy)
    measured = made.metrics()["figures"]["test"]["figures"]
    assert released["figures"]["brier_score"]["value"] == measured["brier_score"]["value"]


def test_a_release_is_not_measured_on_what_it_learnt_from(
    made: Release, clinical_root: Path, tmp_path: Path, run: Any
) -> None:
    folder = tmp_path / "clinical5" / "1.0.0"
    shutil.copytree(made.folder, folder)
    facts = json.loads((folder / "manifest.json").read_text())
    del facts["data"]["validation"]
    (folder / "manifest.json").write_text(json.dumps(facts))
    common = ["evaluate", "clinical5", "--data", clinical_root, "--releases", tmp_path]
    status, lines, said = run(*common)
    assert (status, lines) == (2, [])
    assert "1.0.0 learnt from the validation part too; measure it on --split calibration" in said
    assert run(*common, "--split", "calibration")[0] == 0


def test_train_trains_and_says_how_well(
    tiny: Recipe, clinical_root: Path, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    quick = replace(tiny, name="quick", network="small_cnn", stages=(Stage(1, 64),), epoch_size=32)
    monkeypatch.setitem(RECIPES, "quick", quick)
    arguments = ["train", "--recipe", "quick", "--data", clinical_root, "--runs", tmp_path]
    status, lines, _ = run(*arguments)
    assert status == 0
    assert lines[-1].startswith("quick: best epoch 1, balanced accuracy 0.")
    assert (tmp_path / "quick-1" / "checkpoint" / "state.json").is_file()
    assert (
        "gives no map"
        in run(
            *("release", "--recipe", "quick", "--data", clinical_root, "--runs", tmp_path),
            *("--releases", tmp_path / "releases", "--version", "1.0.0", "--test-looks", "1"),
        )[2]
    )


def test_training_without_its_packages_says_what_to_install(
    clinical_root: Path, tmp_path: Path, tiny: Recipe, run: Any
) -> None:
    # The tiny recipe names a weight package that does not exist.
    arguments = ["train", "--recipe", tiny.name, "--data", clinical_root, "--runs", tmp_path]
    status, _, errors = run(*arguments)
    assert status == 2
    assert "no_such_package is not installed; install requirements-train.txt" in errors


def test_a_fault_of_the_disk_names_the_file(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_options: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "releases/isic9/card.md")

    monkeypatch.setattr(cli.verify, "run", full)
    status, _out, said = run("verify", "isic9")
    assert status == 2
    assert said.startswith("mlcore: releases/isic9/card.md: No space left on device.")


def test_ctrl_c_says_that_nothing_is_lost(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_arguments: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.train, "recipe_named", stopped)
    status, _, errors = run("train", "--recipe", "clinical5_lite0")
    assert status == 130
    assert "the same command goes on from here" in errors
