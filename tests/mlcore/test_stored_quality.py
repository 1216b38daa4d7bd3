"""The lossless copy keeps its pixels exactly, and its quality beside them."""

from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mlcore.bundle import latest
from mlcore.drawing import draw_clinical, draw_dermoscopy
from mlcore.imaging import encode_network_source, network_source
from mlcore.predictor import Predictor
from mlcore.quality import QUALITY_KEY, Quality, measure, stored_quality


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_every_pixel_and_every_measure_comes_back(width: int, height: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    written = encode_network_source(picture)
    opened = Image.open(io.BytesIO(written), formats=["PNG"])
    opened.load()
    assert opened.mode == "RGB"
    assert np.array_equal(np.asarray(opened), pixels)
    assert list(opened.info) == [QUALITY_KEY]
    assert stored_quality(opened) == measure(picture)
    # Nothing is compressed: the pixels stand in the file as they are.
    assert len(written) > pixels.nbytes
    # A reader that checks finds the sums right, and a broken bit is found.
    opened = Image.open(io.BytesIO(written))
    opened.verify()
    place = written.index(b"IDAT") + 8
    broken = written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :]
    with pytest.raises((OSError, SyntaxError, zlib.error)):
        Image.open(io.BytesIO(broken)).verify()


def test_the_measures_are_those_of_the_definition() -> None:
    for picture in (draw_dermoscopy("nevus", seed=4), draw_clinical("acne", seed=4)):
        square = picture.resize((160, 160), Image.Resampling.BICUBIC)
        luma = np.asarray(square, dtype=np.float64) @ [0.299, 0.587, 0.114]
        length = np.hypot(*np.gradient(luma))
        found = measure(picture)
        assert found.sharpness == pytest.approx(np.percentile(length, 99) / luma.std(), rel=1e-12)
        tiny = picture.resize((16, 16), Image.Resampling.BOX)
        red, green, blue = np.asarray(tiny, dtype=np.float64).reshape(-1, 3).T
        grey = 0.299 * red + 0.587 * green + 0.114 * blue
        spread = []
        for channel in (grey, red - green, (red + green) / 2 - blue):
            across, down = np.meshgrid(np.linspace(-1, 1, 16), np.linspace(-1, 1, 16))
            plane = np.stack([np.ones(256), across.ravel(), down.ravel()], axis=1)
            even = channel - plane @ np.linalg.lstsq(plane, channel, rcond=None)[0]
            low, high = np.percentile(even, [3, 97])
            spread.append((high - low) / max(grey.mean(), 1))
        assert found.contrast == pytest.approx(max(spread), rel=1e-9)


def test_a_predictor_believes_only_the_measures_it_is_handed() -> None:
    predictor = Predictor.load(latest("isic9"), threads=1)
    flat = Image.new("RGB", (200, 200), (120, 90, 80))
    sharp = network_source(draw_dermoscopy("nevus", seed=1))
    # A text in the picture itself counts for nothing: anybody can write one.
    flat.info[QUALITY_KEY] = measure(sharp).written()
    assert predictor.predict([flat])[0].decision == "rejected"
    ours = predictor.predict([sharp, flat])
    told = predictor.predict([sharp, flat], [measure(sharp), None])
    assert [one.decision for one in told] == [one.decision for one in ours]
    assert told[0].measures == ours[0].measures
    assert predictor.predict([sharp], [measure(flat)])[0].decision == "rejected"


@pytest.mark.parametrize(
    "text", ["", "spread=1", "spread=x high_luma=1", f"{Quality(*[1.0] * 6).written()} more=2"]
)
def test_a_text_that_is_not_ours_is_refused(text: str) -> None:
    picture = Image.new("RGB", (2, 2))
    assert stored_quality(picture) is None
    picture.info[QUALITY_KEY] = text
    with pytest.raises(ValueError, match=r"not the measures|dictionary update"):
        stored_quality(picture)
