"""Taking pictures in: time and memory for each format and size.

What is timed is what a web process does with one upload: decode, and cut the three stored copies.
"""

from __future__ import annotations

import functools
import io
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from pillow_heif import register_heif_opener

from bench.charts import Bar, bar_chart
from mlcore.drawing import draw_dermoscopy
from mlcore.imaging import (
    DISPLAY_SIDE,
    Limits,
    decode,
    encode_display,
    encode_network_source,
    encode_thumbnail,
    network_source,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL.Image import Image as Picture

# Megapixels and size.
_SIZES = {0.3: (640, 480), 1: (1152, 864), 12: (4000, 3000), 48: (8000, 6000)}
_FORMATS = ("JPEG", "PNG", "HEIC")
# A lossless file of 48 megapixels may be larger than what the form takes.
_LIMITS = Limits(max_bytes=1024**3)
_CHILD = """
import sys
from pathlib import Path
from bench.intake import take_in
from tests.intake.memory import forget_peak, peak_mebibytes
small, large = (Path(name).read_bytes() for name in sys.argv[1:])
take_in(small)
forget_peak()
before = peak_mebibytes()
take_in(large)
print(peak_mebibytes() - before)
"""


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure every format at every size.

    Args:
        quick: up to 12 megapixels, three times each; otherwise up to 48, seven times.

    Returns:
        ``rows``, each with ``megapixels``, ``format``, ``file_mb``, milliseconds ``decode``,
        ``copies``, ``together`` (medians) and ``processor``, and ``peak_mib``.
    """
    rounds = 3 if quick else 7
    return {
        "rounds": rounds,
        "rows": [
            _row(mega, kind, rounds)
            for mega in _SIZES
            if not quick or mega <= 12  # noqa: PLR2004 - megapixels
            for kind in _FORMATS
        ],
    }


def _row(mega: float, kind: str, rounds: int) -> dict[str, Any]:
    data = picture_of(_SIZES[mega], kind)
    take_in(data)
    began = time.process_time()
    timed = [take_in(data) for _ in range(rounds)]
    processor = (time.process_time() - began) / rounds
    return {
        "megapixels": mega,
        "format": kind,
        "file_mb": round(len(data) / 1e6, 2),
        "decode": round(statistics.median(first for first, _ in timed) * 1e3, 1),
        "copies": round(statistics.median(second for _, second in timed) * 1e3, 1),
        "together": round(statistics.median(map(sum, timed)) * 1e3, 1),
        "processor": round(processor * 1e3, 1),
        "peak_mib": round(_peak_of(data, kind)),
    }


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    lines = [
        "## Intake: one upload, from its bytes to the three stored copies",
        "",
        "![Milliseconds for each format and size](performance/intake.svg)",
        "",
        "| megapixels | format | file | decode | copies | together | processor | peak memory |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {row['megapixels']:g} | {row['format']} | {row['file_mb']:.1f} MB "
            f"| {row['decode']:.0f} ms | {row['copies']:.0f} ms | {row['together']:.0f} ms "
            f"| {row['processor']:.0f} ms | {row['peak_mib']} MiB |"
            for row in found["rows"]
        ),
        "",
        (
            f"Medians of {found['rounds']}; processor time is over all threads and less stretched "
            "by other work. Peak memory is what a fresh process needed beyond itself and the "
            "file's own bytes."
        ),
    ]
    return "\n".join(lines)


def plots(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the drawing."""
    bars = [
        Bar(f"{row['megapixels']:g} MP {row['format']}", row["together"]) for row in found["rows"]
    ]
    return {"intake.svg": bar_chart("intake", "Milliseconds an upload", bars, unit=" ms")}


def take_in(data: bytes) -> tuple[float, float]:
    """Decode a picture and cut its copies.

    Returns:
        Seconds to decode, and to cut and encode.
    """
    began = time.perf_counter()
    decoded = decode(data, limits=_LIMITS, at_least=DISPLAY_SIDE)
    halfway = time.perf_counter()
    encode_display(decoded.image)
    source = network_source(decoded.image)
    encode_thumbnail(source)
    encode_network_source(source)
    return halfway - began, time.perf_counter() - halfway


@functools.cache
def _drawing() -> Picture:
    return draw_dermoscopy("nevus", seed=1, size=(1600, 1200))


def picture_of(size: tuple[int, int], kind: str) -> bytes:
    """Return a drawn lesion enlarged to the size."""
    picture = _drawing().resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    if kind == "HEIC":
        register_heif_opener(thumbnails=False)
        # How hard the encoder tries does not matter to the decoder.
        picture.save(buffer, "HEIF", quality=80, enc_params={"preset": "ultrafast"})
    elif kind == "PNG":
        picture.save(buffer, "PNG", compress_level=1)
    else:
        picture.save(buffer, kind, quality=92)
    return buffer.getvalue()


def _peak_of(data: bytes, kind: str) -> float:
    """Return the peak memory in MiB of a fresh process that takes the picture in."""
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        small.write_bytes(picture_of(_SIZES[0.3], kind))
        large.write_bytes(data)
        told = subprocess.run(
            [sys.executable, "-c", _CHILD, str(small), str(large)],
            check=True,
            capture_output=True,
            text=True,
        )
    return float(told.stdout)
