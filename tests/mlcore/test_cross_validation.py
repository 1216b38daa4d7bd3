"""Cross-validation: folds that share nothing, networks that judge only what they never saw."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcore.data.sets import Record
from mlcore.data.splits import deal_folds, load_records, load_split
from mlcore.labels import label_set
from mlcore.train.recipes import RECIPES, Recipe, Stage
from mlcore.train.run import RunError
from tests.mlcore.sets import REAL, make_folder_set, make_ham, put

KEYS = label_set("isic9").keys


def test_folds_share_no_group_and_leave_the_test_split_alone(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "isic9", train=10, test=1)
    make_ham(tmp_path, [(f"ISIC_003{n:04d}", f"L{n // 2}", "nv", 5000 + n) for n in range(20)])
    train = tmp_path / "isic9" / "train"
    for number in range(4):
        put(train / "melanoma" / f"twin-{number}.jpg", 7, quality=60 + 9 * number)
    put(tmp_path / "isic9" / "test" / "nevus" / "seen.jpg", 8)
    put(train / "nevus" / "leak.jpg", 8, quality=70)
    folds = deal_folds(load_records("isic9", tmp_path, with_ham=True), count=5, seed=1)
    for one, other in combinations(folds, 2):
        assert not {r.group for r in one} & {r.group for r in other}
    dealt = [r for fold in folds for r in fold]
    # Each once: ninety of the set, four twins, twenty of HAM10000; neither leak nor test.
    assert len({r.name for r in dealt}) == len(dealt) == 114
    assert {r.split for r in dealt} == {"train"}
    assert not [r for r in dealt if r.name.endswith("leak.jpg")]
    assert len([1 for fold in folds if any("twin" in r.name for r in fold)]) == 1
    for fold in folds:
        assert {r.label for r in fold} == set(KEYS)


def test_a_recipe_without_ham_is_dealt_the_same_pictures(tmp_path: Path) -> None:
    make_folder_set(tmp_path, "isic9", train=8, test=1)
    make_ham(tmp_path, [(f"ISIC_003{n:04d}", f"L{n // 2}", "nv", 5000 + n) for n in range(20)])
    both = load_split("isic9", tmp_path, seed=1, with_ham=True)
    own = load_split("isic9", tmp_path, seed=1)
    for part, records in both.items():
        assert own[part] == [r for r in records if r.source == "isic9"]
    assert sum(len(records) for records in both.values()) == 81 + 20


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the real image sets are not on this machine")
def test_folds_of_the_real_sets_share_no_lesion_and_no_archive_id() -> None:
    from mlcore.data.sets import archive_id, ham_facts

    facts = ham_facts(REAL)
    records = load_records("isic9", REAL, with_ham=True)
    folds = deal_folds(records, count=5, seed=1)
    tested = {archive_id(r.path) for r in records if r.split == "test"}

    def known(fold: list[Record]) -> set[str]:
        ids = {archive_id(r.path) for r in fold}
        return ids | {facts[i].lesion for i in ids if i in facts}

    for one, other in combinations(folds, 2):
        assert not known(one) & known(other)
    (fold,) = [f for f in folds if {"ISIC_0025226", "ISIC_0030074"} & known(f)]
    assert {"ISIC_0025226", "ISIC_0030074"} <= known(fold)
    lesions_tested = {facts[i].lesion for i in tested if i in facts}
    for fold in folds:
        assert not known(fold) & (tested | lesions_tested)
        assert {r.label for r in fold} == set(KEYS)


def _held_out(labels: list[int], logits: Any, archives: list[str] | None = None) -> Any:
    from mlcore.train.folds import HeldOut

    n = len(labels)
    archives = archives or ["ham10000"] * n
    records = [
        Record(Path("x"), str(i), KEYS[k], "isic9", "train", f"g{i}", archives[i])
        for i, k in enumerate(labels)
    ]
    return HeldOut(records, np.array(labels), np.asarray(logits, float), np.arange(n) % 5)


def test_temperature_and_thresholds_come_from_the_other_folds() -> None:
    from mlcore.train.cross_figures import calibrated

    rng = np.random.default_rng(1)
    labels = [int(k) for k in rng.integers(0, 9, 300)]
    logits = np.eye(9)[labels] * 6 + rng.normal(0, 3, (300, 9))
    held_out = _held_out(labels, logits)
    before = calibrated("isic9", held_out)
    np.testing.assert_allclose(before.chances.sum(axis=1), 1)
    # What is true of fold 0 cannot change the probabilities of fold 0.
    turned = held_out.labels.copy()
    turned[held_out.folds == 0] = (turned[held_out.folds == 0] + 1) % 9
    after = calibrated("isic9", replace(held_out, labels=turned))
    inside = held_out.folds == 0
    for name in ("chances", "answer", "triage"):
        ours, theirs = getattr(before, name), getattr(after, name)
        np.testing.assert_array_equal(ours[inside], theirs[inside])
        assert not np.allclose(ours[~inside], theirs[~inside])


def test_ham_diagnoses_add_up_what_belongs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlcore.train.cross_figures import HAM_DIAGNOSES, cross_figures

    monkeypatch.setattr("mlcore.figures.bootstrap.REPLICATES", 50)
    assert sorted(label for labels in HAM_DIAGNOSES.values() for label in labels) == sorted(KEYS)
    keratosis, carcinoma = KEYS.index("actinic_keratosis"), KEYS.index("squamous_cell_carcinoma")
    nevus, melanoma = KEYS.index("nevus"), KEYS.index("melanoma")
    labels = [keratosis, carcinoma, nevus, melanoma] * 5
    logits = np.full((20, 9), -9.0)
    for row, label in enumerate(labels):
        # Every keratosis is called a carcinoma and the reverse: one diagnosis in HAM10000.
        said = {keratosis: carcinoma, carcinoma: keratosis}.get(label, nevus)
        logits[row, said] = 9
    figures = cross_figures("isic9", _held_out(labels, logits))
    ham = figures["ham7_cross_validation"]["figures"]
    found = {name: figure["value"] for name, figure in ham.items()}
    assert found["recall_akiec"] == 1
    assert (found["recall_nv"], found["recall_mel"]) == (1, 0)
    assert found["balanced_accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["accuracy"] == 0.75
    assert figures["cross_validation"]["figures"]["accuracy"]["value"] == 0.25
    others = cross_figures("isic9", _held_out(labels, logits, ["isic-0000"] * 20))
    assert set(others) == {"cross_validation"}


@pytest.fixture
def quick(tiny: Recipe, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    recipe = replace(tiny, name="quick", network="small_cnn", stages=(Stage(1, 64),), epoch_size=32)
    monkeypatch.setitem(RECIPES, "quick", recipe)
    monkeypatch.setattr("mlcore.figures.bootstrap.REPLICATES", 50)
    return recipe


def test_the_command_measures_every_picture_once_and_goes_on(
    quick: Recipe,
    clinical_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlcore.cli import main

    monkeypatch.setattr("mlcore.train.folds.KEPT", tmp_path / "kept")
    arguments = ["crossvalidate", "--recipe", "quick", "--folds", "3", "--json"]
    arguments += ["--data", str(clinical_root), "--runs", str(tmp_path)]
    assert main(arguments) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"cross_validation", "slices"}
    assert figures["cross_validation"]["images"] == 50
    assert figures["cross_validation"]["folds"] == 3
    folder = tmp_path / "quick-1-folds"
    assert json.loads((folder / "cross-validation.json").read_text()) == figures
    # What is there is not trained again.
    (folder / "fold1" / "held-out.npz").unlink()
    before = (folder / "fold0" / "held-out.npz").stat().st_mtime_ns
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == figures
    assert (folder / "fold0" / "held-out.npz").stat().st_mtime_ns == before
    # What is kept in the repository stands in for runs that are gone, and is not trained again.
    assert main([*arguments, "--keep"]) == 0
    assert capsys.readouterr().out == "3 of 3 folds are kept\n"
    with np.load(folder / "fold0" / "held-out.npz", allow_pickle=False) as saved:
        said = saved["logits"]
    with np.load(tmp_path / "kept" / folder.name / "fold0.npz", allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["logits"], said, atol=0.00051)
    shutil.rmtree(folder)
    with monkeypatch.context() as patched:
        patched.setattr("mlcore.train.folds.train", None)
        assert main(arguments) == 0
    again = json.loads(capsys.readouterr().out)["cross_validation"]
    assert (again["images"], again["folds"]) == (50, 3)
    # Another deal is not mixed with this one.
    assert main([*arguments[:4], "4", *arguments[5:]]) == 2
    assert "is of other pictures; remove" in capsys.readouterr().err


def test_where_no_fold_is_finished_nothing_is_kept(
    quick: Recipe,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlcore.cli import main

    monkeypatch.setattr("mlcore.train.folds.KEPT", tmp_path / "kept")
    assert main(["crossvalidate", "--recipe", "quick", "--runs", str(tmp_path), "--keep"]) == 2
    assert "No fold of quick is finished" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()


def test_kept_folds_are_of_the_recipe_that_bears_their_name() -> None:
    from mlcore.train.folds import KEPT, _opened
    from mlcore.train.run import facts_of

    kept = list(KEPT.glob("*/*"))
    assert len(kept) >= 10
    for path in kept:
        name, seed, _ = path.parent.name.rsplit("-", 2)
        names, logits = _opened(path, facts_of(RECIPES[name], int(seed)))
        assert len(names) == len(logits) > 0


def test_folds_of_another_recipe_or_seed_are_never_taken(
    quick: Recipe,
    clinical_root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlcore.cli import main

    kept = tmp_path / "kept"
    monkeypatch.setattr("mlcore.train.folds.KEPT", kept)
    arguments = ["crossvalidate", "--recipe", "quick", "--folds", "2"]
    arguments += ["--data", str(clinical_root), "--runs", str(tmp_path)]
    assert main(arguments) == 0
    assert main([*arguments, "--keep"]) == 0
    changed = replace(quick, dropout=quick.dropout + 0.1)
    monkeypatch.setitem(RECIPES, "quick", changed)
    # One fold was trained by the new recipe before it was noticed: the others are not.
    folder = tmp_path / "quick-1-folds"
    shutil.rmtree(folder / "fold0")
    before = {path.name: path.read_bytes() for path in (kept / folder.name).iterdir()}
    for command in (arguments, [*arguments, "--keep"]):
        assert main(command) == 2
        told = capsys.readouterr().err
        assert "is of another recipe or seed; remove" in told
    assert {path.name: path.read_bytes() for path in (kept / folder.name).iterdir()} == before
    # The kept ones are named alone: those of other recipes lie beside them.
    shutil.rmtree(folder)
    assert main(arguments) == 2
    assert f"remove {kept / folder.name} and run it again, which takes hours." in (
        capsys.readouterr().err
    )


def test_a_final_run_learns_from_validation_and_brings_its_folds_along(
    tiny: Recipe,
    published: None,
    clinical_root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlcore.bundle import load_release
    from mlcore.calibrate import calibration_of, raise_label
    from mlcore.cli import main
    from mlcore.train.folds import _answers, read_folds
    from mlcore.train.run import facts_of

    monkeypatch.setattr("mlcore.figures.bootstrap.REPLICATES", 50)
    recipe = replace(tiny, name="final", epoch_size=32)
    monkeypatch.setitem(RECIPES, "final", recipe)
    common = ["--recipe", "final", "--data", str(clinical_root), "--runs", str(tmp_path)]
    assert main(["train", "--final", *common]) == 0
    assert "final: best epoch 1, nothing held out" in capsys.readouterr().out
    folds = deal_folds(load_records("clinical5", clinical_root), count=2, seed=1)
    rng = np.random.default_rng(1)
    folder = tmp_path / "final-1-folds"
    figures = folder / "cross-validation.json"
    releases = ["--releases", str(tmp_path / "releases"), "--version", "1.0.0"]
    arguments = ["release", "--final", *common, *releases, "--test-looks", "1"]
    assert main(arguments) == 2
    assert "First run python -m mlcore crossvalidate --recipe final" in capsys.readouterr().err
    figures.parent.mkdir()
    figures.write_text("{")
    assert main(arguments) == 2
    assert "cross-validation.json cannot be read" in capsys.readouterr().err
    figures.write_text(json.dumps({"cross_validation": {"folds": 2, "figures": {}}}))
    assert main(arguments) == 2
    assert "held-out.npz is missing; run mlcore crossvalidate" in capsys.readouterr().err
    for number, fold in enumerate(folds):
        path = _answers(folder, number)
        path.parent.mkdir()
        names = np.array([record.name for record in fold])
        logits = rng.normal(size=(len(fold), 5)).astype(np.float32)
        np.savez(path, names=names, logits=logits, facts=json.dumps(facts_of(recipe, 1)))
    assert main(arguments) == 0
    made = load_release(tmp_path / "releases" / "clinical5" / "1.0.0")
    assert {name: facts["images"] for name, facts in made.manifest["data"].items()} == {
        "train": 45,
        "calibration": 5,
        "test": 10,
    }
    assert set(made.metrics()["figures"]) == {"calibration", "test", "cross_validation"}
    # What the release adds to its logits comes from the folds.
    assert made.manifest["calibrated_on"] == "cross_validation"
    held_out = read_folds(recipe, folds, folder, seed=1)
    places = [record.archive for record in held_out.records]
    fitted = calibration_of(held_out.logits, held_out.labels, places)
    melanoma = label_set("clinical5").keys.index("melanoma")
    expected, by = raise_label(
        fitted, held_out.logits, held_out.labels, melanoma, collections=places
    )
    assert made.manifest["melanoma_raised"] == pytest.approx(by)
    np.testing.assert_allclose(made.manifest["offsets"], expected.offsets, atol=1e-3)
    assert made.manifest["temperature"] == pytest.approx(expected.temperature, rel=1e-3)


def test_a_recipe_may_learn_what_it_does_not_know(
    quick: Recipe, clinical_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlcore.cli import main
    from mlcore.data.outside import DEVELOPMENT, half_of
    from mlcore.train import loop

    root = tmp_path / "sets"
    shutil.copytree(clinical_root, root)
    names = [f"{disease}__1.jpg" for disease in ("lupus", "eczema", "psoriasis", "scabies", "lice")]
    for number, name in enumerate(names):
        put(root / "outside" / "other_skin" / name, 900 + number)
    expected = {f"outside/other_skin/{name}" for name in names if half_of(name) == DEVELOPMENT}
    assert 0 < len(expected) < len(names)
    seen: list[set[str]] = []

    def spy(inner: Any) -> Any:
        def train(recipe: Recipe, training: Any, *rest: Any, **named: Any) -> Any:
            seen.append({r.name for r in training.records if r.source == "outside"})
            return inner(recipe, training, *rest, **named)

        return train

    monkeypatch.setitem(RECIPES, "quick", replace(quick, outside_share=0.3))
    spied = spy(loop.train)
    monkeypatch.setattr("mlcore.train.folds.train", spied)
    monkeypatch.setattr(loop, "train", spied)
    common = ["--recipe", "quick", "--data", str(root), "--runs", str(tmp_path / "runs")]
    assert main(["train", *common]) == 0
    assert main(["crossvalidate", *common, "--folds", "2"]) == 0
    assert seen == [expected] * 3


def test_damaged_answers_are_said(quick: Recipe, tmp_path: Path) -> None:
    from mlcore.train.folds import run_folds
    from mlcore.train.pictures import Pictures

    record = Record(put(tmp_path / "a.jpg", 1), "a", "acne", "clinical5", "train", "a")
    path = tmp_path / "folds" / "fold0" / "held-out.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no archive")
    with pytest.raises(RunError, match=r"held-out\.npz is damaged .*remove it"):
        run_folds(
            quick,
            Pictures([record], label_set("clinical5").keys),
            [[record]],
            folder=tmp_path / "folds",
            outputs=tmp_path,
            seed=1,
            report=io.StringIO(),
        )
