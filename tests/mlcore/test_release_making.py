"""What a release made by the command line holds, and what is never released."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from mlcore.bundle import ReleaseError, load_release
from mlcore.golden import GOLDEN, GoldenError, check_golden, same_ranking
from mlcore.labels import label_set
from mlcore.predictor import Predictor
from mlcore.train.recipes import recipe_named

if TYPE_CHECKING:
    from pathlib import Path

    from mlcore.bundle import Release
    from mlcore.train.recipes import Recipe


def test_the_folder_holds_the_network_twice_and_everything_said_of_it(made: Release) -> None:
    golden = {f"golden-{key}.png" for key in label_set("clinical5").keys}
    named = {"model.keras", "model.tflite", "metrics.json", "card.md", GOLDEN} | golden
    drawn = {name for name in made.manifest["files"] if name.endswith(".svg")}
    assert {"plot-test-confusion.svg", "plot-test-reliability.svg", "plot-training.svg"} <= drawn
    card = made.file("card.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in card for name in drawn)
    assert made.manifest["files"]["model.keras"]["sha256"][:12] in card
    named |= drawn
    assert set(made.manifest["files"]) == named
    assert {path.name for path in made.folder.iterdir()} == named | {"manifest.json"}


def test_the_manifest_tells_where_the_network_comes_from(made: Release, tiny: Recipe) -> None:
    facts = made.manifest
    assert (facts["version"], facts["input_side"], facts["seed"]) == ("1.0.0", 64, 1)
    assert facts["recipe"] == json.loads(json.dumps(tiny.as_dict()))
    assert {part: data["images"] for part, data in facts["data"].items()} == {
        "train": 40,
        "validation": 5,
        "calibration": 5,
        "test": 10,
    }
    assert all(len(data["sha256"]) == 64 for data in facts["data"].values())
    assert facts["test_looks"] == 3
    assert facts["parity"]["pictures"] == 10
    assert facts["parity"]["greatest_difference"] < 1e-4
    assert 0.25 <= facts["temperature"] <= 4
    assert "keras" in facts["trained_with"]
    assert "Research build" in facts["licence"]


def test_the_figures_have_intervals_and_no_nan(made: Release) -> None:
    text = made.file("metrics.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    metrics = made.metrics()
    assert set(metrics["figures"]) == {"validation", "calibration", "test"}
    assert metrics["history"][0]["score"] == 0.5
    for part in metrics["figures"].values():
        for figure in [*part["figures"].values(), *part["operating_point"].values()]:
            assert (figure["value"] is None) == (figure["interval"] is None)
    assert metrics["figures"]["test"]["images"] == 10
    coverages = [row["coverage"] for row in metrics["figures"]["calibration"]["risk_coverage"]]
    assert coverages == sorted(coverages, reverse=True)


def test_the_keras_file_is_functional_compressed_and_safe(made: Release) -> None:
    with zipfile.ZipFile(made.file("model.keras")) as archive:
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        config = json.loads(archive.read("config.json"))
    assert config["class_name"] == "Functional"
    kinds = {layer["class_name"] for layer in config["config"]["layers"]}
    assert kinds == {
        "InputLayer",
        "Rescaling",
        "Conv2D",
        "DepthwiseConv2D",
        "ReLU",
        "Add",
        "GlobalAveragePooling2D",
        "Dense",
    }


def test_the_gate_turns_no_skin_away(made: Release) -> None:
    # Whatever the training pictures are like: these bounds hold for the darkest and lightest skin.
    quality = made.manifest["quality"]
    assert quality["min_luma"] <= 40
    assert quality["max_luma"] >= 235
    assert quality["min_spread"] <= 2
    assert 0 < quality["min_sharpness"] < 1


def test_golden_answers_hold_on_both_engines(made: Release) -> None:
    for engine in ("litert", "tensorflow"):
        assert check_golden(Predictor(made, engine=engine)) < 1e-4


def test_a_network_that_answers_otherwise_is_found(made: Release) -> None:
    warmer = replace(
        made, manifest=made.manifest | {"temperature": 3 * made.manifest["temperature"]}
    )
    with pytest.raises(GoldenError, match="no longer answers as it did"):
        check_golden(Predictor(warmer))


def test_golden_pictures_are_drawings_of_every_label(made: Release) -> None:
    facts: dict[str, dict[str, float]] = json.loads(made.file(GOLDEN).read_text())
    assert len(facts) == 5
    for name, chances in facts.items():
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        with Image.open(made.file(name)) as picture:
            assert picture.size == (240, 180)
            assert not picture.info


def test_rankings_agree_but_for_ties() -> None:
    ours = np.array([[0.6, 0.3, 0.1]])
    assert same_ranking(ours, np.array([[0.5, 0.4, 0.1]]))
    assert not same_ranking(ours, np.array([[0.4, 0.5, 0.1]]))
    assert same_ranking(np.array([[0.60001, 0.39999]]), np.array([[0.6, 0.4]]))
    assert same_ranking(np.array([[0.50001, 0.49999]]), np.array([[0.49999, 0.50001]]))


def _no_parts() -> Any:
    """Return pictures that must not be looked at."""
    return {}


def test_a_version_that_exists_is_refused_before_the_test_split_is_looked_at(
    made: Release, tiny: Recipe
) -> None:
    from mlcore.release import make_release

    trained: Any = None
    with pytest.raises(ReleaseError, match="never overwritten"):
        make_release(
            tiny,
            trained,
            _no_parts(),
            releases=made.folder.parents[1],
            version="1.0.0",
            seed=1,
            test_looks=1,
        )


def test_the_prototypes_network_cannot_be_released(tmp_path: Path) -> None:
    from mlcore.release import make_release

    trained: Any = None
    with pytest.raises(ReleaseError, match="gives no map"):
        make_release(
            recipe_named("small_cnn_clinical5"),
            trained,
            _no_parts(),
            releases=tmp_path,
            version="1.0.0",
            seed=1,
            test_looks=1,
        )


def test_a_serving_file_that_disagrees_is_not_released(
    made: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from mlcore import conversion
    from mlcore.conversion import ParityError, prove_parity

    file = made.file("model.tflite")
    model = keras.saving.load_model(made.file("model.keras"), compile=False, safe_mode=True)
    squares = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    proved = prove_parity(file, model, squares, 1.0)
    assert proved["greatest_difference"] < 1e-4
    assert 0 < proved["greatest_difference_elsewhere"] < 1e-4
    (weights,) = model.get_layer("evidence").get_weights()
    model.get_layer("evidence").set_weights([weights * 1.01])
    with pytest.raises(ParityError, match="differ in evidence by"):
        prove_parity(file, model, squares, 1.0)
    kernel, bias = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([kernel, bias + np.linspace(0, 3, 5)])
    with pytest.raises(ParityError, match="nothing was released"):
        prove_parity(file, model, squares, 1.0)
    monkeypatch.setattr(conversion, "TOLERANCE", 1.0)
    model.get_layer("logits").set_weights([-kernel, bias])
    with pytest.raises(ParityError, match="rank the labels differently"):
        prove_parity(file, model, squares, 1.0)


def test_an_earlier_releases_network_is_released_anew(
    made: Release, tiny: Recipe, clinical_root: Path, tmp_path: Path, capsys: Any
) -> None:
    from mlcore.cli import main

    releases = tmp_path / "releases"
    shutil.copytree(made.folder, releases / "clinical5" / "1.0.0")
    common = ["release", "--recipe", tiny.name, "--runs", str(tmp_path), "--test-looks", "4"]
    common += ["--releases", str(releases), "--network-of", "1.0.0", "--version", "1.1.0"]
    # Neither another deal nor pictures that have changed since.
    assert main([*common, "--data", str(clinical_root), "--seed", "2"]) == 2
    assert "another recipe or seed" in capsys.readouterr().err
    # Nor a network of before there were offsets.
    old = shutil.copytree(releases / "clinical5" / "1.0.0", releases / "clinical5" / "0.9.0")
    manifest = json.loads((old / "manifest.json").read_text(encoding="utf-8"))
    del manifest["offsets"]
    (old / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert main([*common, "--network-of", "0.9.0", "--data", str(clinical_root)]) == 2
    assert "too old" in capsys.readouterr().err
    other = tmp_path / "sets"
    shutil.copytree(clinical_root, other)
    next((other / "clinical5" / "train" / "acne").iterdir()).unlink()
    assert main([*common, "--data", str(other)]) == 2
    assert "other pictures than are dealt today" in capsys.readouterr().err
    assert not (releases / "clinical5" / "1.1.0").exists()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mlcore.figures.bootstrap.REPLICATES", 50)
        assert main([*common, "--data", str(clinical_root)]) == 0
    again = load_release(releases / "clinical5" / "1.1.0")
    # The same network, and therefore the same choices, but for what half precision took from them.
    assert again.manifest["temperature"] == pytest.approx(made.manifest["temperature"], rel=0.02)
    np.testing.assert_allclose(again.manifest["offsets"], made.manifest["offsets"], atol=0.1)
    assert again.manifest["melanoma_raised"] == made.manifest["melanoma_raised"]
    assert again.manifest["test_looks"] == 4
