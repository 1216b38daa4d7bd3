"""LiteRT's interpreter is kept between calls: a batch of another size must not show."""

from __future__ import annotations

import numpy as np
import pytest

from bench.turns import EngineMissingError, start
from mlcore.bundle import latest, load_release
from mlcore.engines import load_engine


def test_a_picture_is_judged_alike_whatever_was_run_before_and_beside_it() -> None:
    release = load_release(latest("isic9"))
    side = release.input_side
    squares = np.random.default_rng(3).integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    engine = load_engine(release, "litert")
    alone = [engine.run(one[None]) for one in squares]
    for chosen in ([0, 1, 2, 3, 4], [4, 2], [3], [1, 0, 4, 4, 3]):
        beside = engine.run(squares[chosen])
        for place, index in enumerate(chosen):
            for name in ("logits", "evidence", "embedding", "pooled"):
                np.testing.assert_allclose(
                    getattr(beside, name)[place], getattr(alone[index], name)[0], atol=2e-5
                )
    # What was handed out is the caller's own: the next run does not write over it.
    kept = alone[0].logits.copy()
    engine.run(squares[1:2])
    np.testing.assert_array_equal(alone[0].logits, kept)


def test_an_engine_that_is_not_installed_is_named_and_not_a_fault_of_the_others(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    made = tmp_path_factory.mktemp("made")
    with pytest.raises(EngineMissingError, match="no engine 'nonsense'"):
        start("nonsense", latest("isic9"), made)
    runner = start("LiteRT", latest("isic9"), made)
    runner.turn(2, 1)
    runner.end()
    assert len(runner.medians[2]) == 1
    assert runner.mib[1] > 0
