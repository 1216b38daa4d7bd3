"""From pictures to results: probabilities, decision, triage, map, on either engine."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from mlcore.decision import decide
from mlcore.drawing import CLINICAL_KINDS, draw_clinical
from mlcore.engines import ENGINES, EngineError, Outputs, load_engine
from mlcore.labels import TRIAGE_ORDER, label_set
from mlcore.outside import CHECKS, GATE, Check, Gate
from mlcore.predictor import Predictor, Result
from mlcore.quality import BLURRED

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mlcore.bundle import Release

KEYS = label_set("clinical5").keys


@pytest.fixture(scope="module")
def drawn() -> list[Image.Image]:
    return [draw_clinical(kind, seed=9, size=(120, 90)) for kind in CLINICAL_KINDS]


def test_a_result_holds_every_label_and_sums_to_one(
    made: Release, drawn: list[Image.Image]
) -> None:
    results = Predictor(made).predict(drawn)
    assert len(results) == len(drawn)
    for result in results:
        assert tuple(result.probabilities) == KEYS
        assert sum(result.probabilities.values()) == pytest.approx(1)
        assert result.top == max(result.probabilities, key=result.probabilities.__getitem__)
        assert result.confidence == result.probabilities[result.top]
        assert result.embedding.shape == (1280,)
    assert len({round(r.confidence, 6) for r in results}) == len(results)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_batch_gives_what_single_pictures_give(
    made: Release, drawn: list[Image.Image], engine: str
) -> None:
    predictor = Predictor(made, engine=engine, threads=1)
    together = predictor.predict(drawn)
    alone = [predictor.predict([picture])[0] for picture in drawn]
    again = predictor.predict(drawn[::-1])[::-1]
    for one, other, turned in zip(together, alone, again, strict=True):
        for result in (other, turned):
            assert result.probabilities == pytest.approx(one.probabilities, abs=1e-5)
            assert result.decision == one.decision
            np.testing.assert_allclose(result.evidence, one.evidence, atol=1e-3)
    assert predictor.predict([]) == []


def test_both_engines_say_the_same(made: Release, drawn: list[Image.Image]) -> None:
    ours = Predictor(made, engine="litert").predict(drawn)
    theirs = Predictor(made, engine="tensorflow").predict(drawn)
    for one, other in zip(ours, theirs, strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
        for label in KEYS:
            np.testing.assert_allclose(one.map_for(label), other.map_for(label), atol=1e-3)


def test_the_engine_is_chosen_by_name_or_by_the_environment(
    made: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLCORE_ENGINE", raising=False)
    assert load_engine(made).name == "litert"
    monkeypatch.setenv("MLCORE_ENGINE", "tensorflow")
    assert load_engine(made).name == "tensorflow"
    assert load_engine(made, "litert", threads=1).name == "litert"
    with pytest.raises(EngineError, match="no engine 'onnx'; there are litert, tensorflow"):
        load_engine(made, "onnx")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((1, 32, 32, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 1), np.uint8),
    ],
    ids=["type", "side", "no batch", "grey"],
)
def test_an_engine_refuses_what_the_network_was_not_made_for(
    made: Release, engine: str, wrong: Any
) -> None:
    with pytest.raises(ValueError, match=r"reads uint8 pictures of shape \(n, 64, 64, 3\)"):
        load_engine(made, engine).run(wrong)


def test_the_engine_is_loaded_once_whatever_the_threads(
    made: Release, drawn: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlcore import predictor as module

    loaded: list[str] = []

    def counting(release: Release, name: str | None, *, threads: int | None) -> Any:
        loaded.append(release.version)
        return load_engine(release, name, threads=threads)

    monkeypatch.setattr(module, "load_engine", counting)
    predictor = Predictor(made, engine="litert")
    assert loaded == []
    answers: list[list[Result]] = []
    threads = [
        threading.Thread(target=lambda: answers.append(predictor.predict(drawn))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == ["1.0.0"]
    assert len(answers) == 4
    for results in answers:
        assert [r.probabilities for r in results] == [r.probabilities for r in answers[0]]


def test_a_predictor_tells_what_it_is(made: Release) -> None:
    predictor = Predictor.load(made.folder)
    assert (predictor.key, predictor.version) == ("clinical5", "1.0.0")
    assert predictor.artefact_sha256 == made.artefact_sha256
    assert predictor.labels is label_set("clinical5")


class _Said:
    """An engine that says what it is told to."""

    name = "said"

    pooled: Any = None

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        self.logits = np.log(np.array(rows, dtype=np.float64)).astype(np.float32)

    def run(self, squares: Any) -> Outputs:
        n, labels = self.logits.shape
        assert len(squares) == n
        evidence = np.zeros((n, 2, 2, labels), np.float32)
        return Outputs(self.logits, evidence, np.zeros((n, 1280), np.float32), self.pooled)


GOOD = draw_clinical("acne", seed=1, size=(120, 90))
OPEN = {"min_spread": 0.0, "min_luma": 0.0, "max_luma": 255.0, "min_sharpness": 0.0}


def _judged(made: Release, chances: dict[str, float], picture: Any = GOOD, **facts: Any) -> Result:
    """Return the result where the network says these probabilities."""
    key = facts.pop("label_set", "clinical5")
    keys = label_set(key).keys
    rest = (1 - sum(chances.values())) / max(1, len(keys) - len(chances))
    manifest = made.manifest | {
        "label_set": key,
        "temperature": 1.0,
        "answer_threshold": 0.5,
        "triage_threshold": 0.25,
        "quality": OPEN,
    }
    predictor = Predictor(replace(made, manifest=manifest | facts))
    predictor._engine = _Said([[chances.get(k, max(rest, 1e-9)) for k in keys]])
    return predictor.predict([picture])[0]


def test_what_is_no_number_is_no_answer(made: Release) -> None:
    with pytest.raises(EngineError, match="is no number"):
        _judged(made, {"acne": float("nan")})


def test_a_sure_answer_is_given(made: Release) -> None:
    result = _judged(made, {"acne": 0.9})
    assert (result.top, result.decision, result.reason_code, result.reason) == (
        "acne",
        "answer",
        "",
        "",
    )
    assert result.confidence == pytest.approx(0.9, abs=1e-3)


def test_below_the_threshold_a_person_must_judge(made: Release) -> None:
    result = _judged(made, {"acne": 0.42, "vitiligo": 0.38})
    assert (result.decision, result.reason_code) == ("cannot_say", "unsure")
    assert "42 % where 50 % are needed" in result.reason
    assert _judged(made, {"acne": 0.42}, answer_threshold=0.4).decision == "answer"


def test_a_bad_picture_is_rejected_however_sure_the_network_is(made: Release) -> None:
    black = Image.new("RGB", (80, 80))
    result = _judged(made, {"acne": 0.99}, black, quality=OPEN | {"min_luma": 60.0})
    assert (result.decision, result.reason_code) == ("rejected", "too_dark")
    assert "Add light" in result.reason
    # The probabilities are kept all the same: the decision says whether they count.
    assert result.probabilities["acne"] == pytest.approx(0.99, abs=1e-2)


def _gated(made: Release, folder: Path) -> Release:
    """Return the release with a gate that closes by the values of three pooled features."""
    place = np.zeros(3)
    checks = []
    for number, name in enumerate(CHECKS):
        arrays = {"mean": place, "spread": place + 1, "bias": np.zeros(1)}
        checks.append(Check(name, "head", 0.5, arrays | {"kernel": np.eye(3)[number]}))
    gate = Gate(tuple(checks))
    gate.save(folder / GATE)
    facts = {"gate": {"checks": gate.facts()}, "files": {GATE: {}}}
    facts |= {"temperature": 1.0, "answer_threshold": 0.5}
    return replace(made, folder=folder, manifest=made.manifest | facts)


@pytest.mark.parametrize(
    ("held", "decision", "code", "words"),
    [
        ((0, 0, 0), "answer", "", ""),
        ((1, 1, 1), "rejected", "not_skin", "does not look like a picture of skin"),
        ((0, 1, 1), "cannot_say", "outside_labels", "does not look like a clinical photograph"),
        ((0, 0, 1), "cannot_say", "outside_labels", "unlike the conditions that this network"),
    ],
)
def test_the_gate_comes_before_the_answer(
    made: Release, tmp_path: Path, held: tuple[int, ...], decision: str, code: str, words: str
) -> None:
    said = _Said([[0.96, 0.01, 0.01, 0.01, 0.01]])
    said.pooled = np.array([held], np.float32)
    predictor = Predictor(_gated(made, tmp_path))
    predictor._engine = said
    result = predictor.predict([GOOD])[0]
    assert (result.decision, result.reason_code) == (decision, code)
    assert words in result.reason


def test_a_gate_without_the_features_it_reads_is_an_error(made: Release, tmp_path: Path) -> None:
    predictor = Predictor(_gated(made, tmp_path))
    predictor._engine = _Said([[0.96, 0.01, 0.01, 0.01, 0.01]])
    with pytest.raises(EngineError, match="a network without its features"):
        predictor.predict([GOOD])


def test_bad_quality_is_named_before_the_gate_and_doubt_after_it() -> None:
    about: Any = {"needed": 0.5, "modality": "dermoscopy"}
    assert decide(BLURRED, "not_skin", 0.1, **about).code == "blurred"
    assert decide(None, "not_skin", 0.1, **about).code == "not_skin"
    doubtful = decide(None, "other_kind", 0.1, **about)
    assert doubtful.code == "outside_labels"
    assert "with a dermatoscope" in doubtful.reason
    assert decide(None, "", 0.1, **about).code == "unsure"
    assert decide(None, "", 0.5, **about).kind == "answer"


def test_one_pass_serves_answer_map_and_gate(
    made: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(made, engine="litert")
    engine, passes = predictor.engine, []

    def counted(squares: Any) -> Outputs:
        passes.append(len(squares))
        return type(engine).run(engine, squares)

    width = predictor.engine.run(np.zeros((1, 64, 64, 3), np.uint8)).pooled
    assert width is not None
    gated = _gated(made, tmp_path)
    check = Check(
        "not_skin",
        "head",
        0.5,
        {
            "mean": np.zeros(width.shape[1]),
            "spread": np.ones(width.shape[1]),
            "kernel": np.zeros(width.shape[1]),
            "bias": np.ones(1),
        },
    )
    Gate((check,)).save(tmp_path / GATE)
    facts = {"gate": {"checks": Gate((check,)).facts()}, "quality": OPEN}
    predictor = Predictor(replace(gated, manifest=gated.manifest | facts))
    monkeypatch.setattr(engine, "run", counted)
    predictor._engine = engine
    (result,) = predictor.predict([GOOD])
    assert passes == [1]
    assert result.reason_code == "not_skin"
    assert sum(result.probabilities.values()) == pytest.approx(1)
    assert result.map_for("acne").shape == result.evidence.shape[:2]
    assert result.embedding.shape == (1280,)


def test_the_temperature_cools_or_warms_the_answer(made: Release) -> None:
    plain, warm = (_judged(made, {"acne": 0.8, "vitiligo": 0.1}, temperature=t) for t in (1.0, 2.0))
    assert plain.confidence == pytest.approx(0.8, abs=1e-3)
    expected = np.sqrt([0.8, 0.1, 0.1 / 3, 0.1 / 3, 0.1 / 3])
    assert warm.confidence == pytest.approx(float(expected[0] / expected.sum()), abs=1e-3)


@pytest.mark.parametrize(
    ("needed", "said"),
    [(0.4171, "41 % where 42 %"), (0.42, "41 % where 42 %"), (0.58, "42 % where 58 %")],
)
def test_what_is_there_never_reads_like_what_is_needed(
    made: Release, needed: float, said: str
) -> None:
    assert said in _judged(made, {"acne": 0.417}, answer_threshold=needed).reason


@pytest.mark.parametrize(
    ("chances", "group"),
    [
        ({"acne": 0.9}, "inflammatory"),
        ({"vitiligo": 0.9}, "pigment disorder"),
        ({"vitiligo": 0.6, "melanoma": 0.3}, "skin cancer"),
        ({"vitiligo": 0.7, "melanoma": 0.2}, "pigment disorder"),
        ({"vitiligo": 0.6, "ring_worm": 0.25}, "infection"),
        ({"vitiligo": 0.7, "ring_worm": 0.15}, "pigment disorder"),
        ({"melanoma": 0.4, "acne": 0.35}, "skin cancer"),
    ],
)
def test_the_worst_plausible_group_decides_the_triage(
    made: Release, chances: dict[str, float], group: str
) -> None:
    assert _judged(made, chances).triage_group == group


def test_dangers_add_up_and_the_likeliest_names_the_group(made: Release) -> None:
    spread = {"nevus": 0.6, "actinic_keratosis": 0.14, "squamous_cell_carcinoma": 0.12}
    result = _judged(made, spread, label_set="isic9")
    # 0.14 + 0.12 + the rest of two malignant labels pass 0.25 together.
    assert result.triage_group == "pre-cancer"
    assert result.triage_group in TRIAGE_ORDER
    assert _judged(made, {"nevus": 0.9}, label_set="isic9").triage_group == "benign lesion"


@pytest.mark.parametrize(
    ("chances", "group"),
    [
        # A cancer that one in five such pictures may be is plausible beside a likelier pre-cancer.
        ({"actinic_keratosis": 0.4, "melanoma": 0.22, "nevus": 0.35}, "skin cancer"),
        # Cancers add up: together they reach the threshold of suspicion by themselves.
        (
            {
                "actinic_keratosis": 0.4,
                "melanoma": 0.15,
                "basal_cell_carcinoma": 0.13,
                "nevus": 0.3,
            },
            "skin cancer",
        ),
        ({"actinic_keratosis": 0.4, "melanoma": 0.08, "nevus": 0.5}, "pre-cancer"),
    ],
)
def test_a_plausible_cancer_is_not_hidden_by_a_likelier_pre_cancer(
    made: Release, chances: dict[str, float], group: str
) -> None:
    assert _judged(made, chances, label_set="isic9").triage_group == group


def _with_evidence(evidence: np.ndarray[Any, Any]) -> Result:
    chances = dict.fromkeys(KEYS, 0.2)
    return Result(chances, "acne", 0.2, "answer", "", "", "infection", {}, evidence, np.zeros(1280))


def test_maps_share_one_scale_and_show_only_what_speaks_for_a_label() -> None:
    evidence = np.zeros((2, 2, 5), np.float32)
    evidence[0, 1, 0], evidence[1, 1, 0] = 4.0, -8.0
    evidence[1, 0, 1] = 1.0
    result = _with_evidence(evidence)
    np.testing.assert_array_equal(result.map_for("acne"), [[0, 1], [0, 0]])
    np.testing.assert_array_equal(result.map_for("melanoma"), [[0, 0], [0.25, 0]])
    assert not result.map_for("vitiligo").any()
    assert result.map_for("acne").dtype == np.float32
    with pytest.raises(KeyError):
        result.map_for("nevus")


def test_a_map_without_any_evidence_is_empty() -> None:
    assert not _with_evidence(np.full((2, 2, 5), -1, np.float32)).map_for("acne").any()


def test_a_map_follows_the_picture(made: Release, drawn: list[Image.Image]) -> None:
    one, other = Predictor(made).predict(drawn[:2])
    assert one.evidence.shape == (2, 2, 5)
    assert np.abs(one.evidence - other.evidence).max() > 1e-3
