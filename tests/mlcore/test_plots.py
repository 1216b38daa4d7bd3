"""Plots: well-formed, nothing but shapes, the same bytes, and the same figures as a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from mlcore.calibrate import risk_coverage
from mlcore.evaluate import evaluate, operating_point, slices
from mlcore.figures import bootstrap
from mlcore.labels import label_set
from mlcore.plots import draw_plots, render_plots
from mlcore.plots.svg import WIDTH, number, tag, text

if TYPE_CHECKING:
    from mlcore.plots import Plot

RELEASES = Path(__file__).parents[2] / "mlcore" / "releases"
SVG = "{http://www.w3.org/2000/svg}"
HISTORY = [
    {"epoch": 0, "side": 64, "train_loss": 2.1, "loss": 1.8, "accuracy": 0.3, "score": 0.9},
    {"epoch": 1, "side": 96, "train_loss": 1.4, "loss": 1.2, "accuracy": 0.6, "score": 0.5},
    {"epoch": 2, "side": 96, "train_loss": 1.1, "loss": 1.3, "accuracy": 0.5, "score": 0.4},
]


def _metrics(key: str) -> dict[str, Any]:
    """Return figures of drawn answers as a new release has them."""
    rng = np.random.default_rng(3)
    labels = label_set(key)
    truth = rng.integers(0, len(labels.labels), 120)
    chances = rng.dirichlet(np.ones(len(labels.labels)), 120)
    chances = (chances + np.eye(len(labels.labels))[truth]) / 2
    groups = [str(n // 2) for n in range(120)]
    facts = [{"sex": "female" if n % 4 else "male", "source": "a & b"} for n in range(120)]
    answers = (key, truth, chances, groups)
    figures = evaluate(*answers)
    figures["operating_point"] = operating_point(*answers, answer=0.5, triage=0.3)
    calibration = evaluate(*answers)
    calibration["risk_coverage"] = risk_coverage(truth, chances)
    return {
        "validation": figures,
        "calibration": calibration,
        "test": figures,
        "cross_validation": figures,
        "slices": slices(*answers, facts, triage=0.3, measured_on="validation folds"),
    }


@pytest.fixture(scope="module", params=["isic9", "clinical5"])
def drawn(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any], list[Plot]]:
    """Return a label set, figures and the plots of them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bootstrap, "REPLICATES", 50)
        metrics = _metrics(request.param)
    # As they come back from a release's file.
    metrics = json.loads(json.dumps(metrics))
    return request.param, metrics, draw_plots(metrics, HISTORY, labels=label_set(request.param))


def test_everything_is_drawn(drawn: Any) -> None:
    _, _, plots = drawn
    kinds = ("confusion", "roc", "reliability", "risk")
    assert [plot.name for plot in plots] == [
        *(f"test-{kind}" for kind in kinds),
        *(f"cross-validation-{kind}" for kind in kinds),
        "calibration-risk",
        "slices",
        "training",
    ]


def test_a_plot_is_shapes_and_words_that_a_screen_reader_is_told(drawn: Any) -> None:
    allowed = {"svg", "title", "desc", "g", "text", "line", "path", "rect", "circle"}
    for plot in drawn[2]:
        root = ET.fromstring(plot.svg)  # noqa: S314 - our own drawing
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= allowed
        for element in root.iter():
            assert not {"style", "href", "onload"} & set(element.attrib)
            assert element.get("fill") in {None, "none", "currentColor"}
            assert element.get("stroke") in {None, "none", "currentColor"}
        assert root.get("role") == "img"
        assert root.findtext(f"{SVG}title") == plot.title
        assert root.findtext(f"{SVG}desc") == plot.description
        named = (root.get("aria-labelledby") or "").split()
        ids = [element.get("id") for element in root.iter() if element.get("id")]
        assert named == ids
        assert all(name.startswith(plot.name) for name in named)


def test_nothing_is_drawn_outside_of_the_drawing(drawn: Any) -> None:
    for plot in drawn[2]:
        root = ET.fromstring(plot.svg)  # noqa: S314 - our own drawing
        _, _, width, height = (float(part) for part in (root.get("viewBox") or "").split())
        assert width == WIDTH
        for element in root.iter():
            for across, upward in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
                assert 0 <= float(element.get(across, 0)) <= width
                assert 0 <= float(element.get(upward, 0)) <= height


def test_every_plot_has_its_figures_as_a_table(drawn: Any) -> None:
    key, metrics, plots = drawn
    for plot in plots:
        assert plot.table.rows
        assert all(len(row) == len(plot.table.head) for row in plot.table.rows)
    tables = {plot.name: plot.table for plot in plots}
    matrix = metrics["test"]["confusion"]
    labels = label_set(key).labels
    assert [row[0] for row in tables["test-confusion"].rows] == [label.name for label in labels]
    assert [list(row[1:-1]) for row in tables["test-confusion"].rows] == [
        [str(count) for count in row] for row in matrix
    ]
    assert len(tables["test-roc"].rows) == len(labels) + 1
    assert sum(int(row[1]) for row in tables["test-reliability"].rows) == 120
    assert tables["slices"].rows[0][:2] == ("Sex: female", "90")
    assert tables["slices"].rows[2][0] == "Source of the image: a & b"


def test_the_drawing_shows_the_figures(drawn: Any) -> None:
    key, metrics, plots = drawn
    by_name = {plot.name: plot for plot in plots}
    auc = metrics["test"]["figures"]["malignant_auc"]["value"]
    assert f">AUC {auc:.2f}<" in by_name["test-roc"].svg
    names = "".join(ET.fromstring(by_name["test-confusion"].svg).itertext())  # noqa: S314 - ours
    assert all(word in names for label in label_set(key).labels for word in label.name.split())
    assert "a &amp; b" in by_name["slices"].svg
    # The best epoch is one at the last size.
    assert by_name["training"].table.rows[1][0] == "2 (best)"
    assert "Epoch 2" in by_name["training"].description


def test_files_are_the_same_every_time_and_stand_alone(drawn: Any) -> None:
    key, metrics, plots = drawn
    files = render_plots(metrics, HISTORY, labels=label_set(key))
    assert files == render_plots(metrics, HISTORY, labels=label_set(key))
    assert list(files) == [f"plot-{plot.name}.svg" for plot in plots]
    for name, svg in files.items():
        # A release's folder is flat, and its manifest names plain files.
        assert Path(name).name == name
        root = ET.fromstring(svg)  # noqa: S314 - our own drawing
        assert len(root.findall(f"{SVG}style")) == 1
        assert "prefers-color-scheme:dark" in svg
        assert "<script" not in svg
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("key", ["isic9", "clinical5"])
def test_the_first_releases_get_the_plots_that_their_figures_allow(key: str) -> None:
    facts = json.loads((RELEASES / key / "1.0.0" / "metrics.json").read_text(encoding="utf-8"))
    plots = draw_plots(facts["figures"], facts["history"], labels=label_set(key))
    assert [plot.name for plot in plots] == ["test-confusion", "calibration-risk", "training"]


def test_without_figures_there_is_no_plot() -> None:
    assert draw_plots({}, [], labels=label_set("isic9")) == []
    assert draw_plots({}, [{"epoch": 0}], labels=label_set("isic9")) == []
    one = draw_plots({}, HISTORY[:1], labels=label_set("isic9"))
    assert [plot.name for plot in one] == ["training"]


def test_text_is_escaped_and_numbers_are_short() -> None:
    assert text(1, 2, "<b> & c", class_="x") == (
        '<text x="1" y="2" fill="currentColor" class="x">&lt;b&gt; &amp; c</text>'
    )
    assert tag("rect", x=1 / 3, stroke_width=-0.001) == '<rect x="0.33" stroke-width="0"/>'
    assert [number(value) for value in (-0.5, 10, 100.0, 0)] == ["-0.5", "10", "100", "0"]
