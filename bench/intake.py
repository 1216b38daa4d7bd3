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
from typing import TYPE_CHECKING

from PIL import Image
from pillow_heif import register_heif_opener

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


def run(*, quick: bool) -> str:
    """Measure every format at every size.

    Args:
        quick: up to 12 megapixels, three times each; otherwise up to 48, seven times.

    Returns:
        A Markdown section.
    """
    sizes = {mega: size for mega, size in _SIZES.items() if not quick or mega <= 12}  # noqa: PLR2004
    lines = [
        "## Intake: one upload, from its bytes to the three stored copies",
        "",
        "| megapixels | format | file | decode | copies | together | processor | peak memory |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for mega, size in sizes.items():
        for kind in _FORMATS:
            data = picture_of(size, kind)
            rounds = 3 if quick else 7
            began = time.process_time()
            timed = [take_in(data) for _ in range(rounds)]
            processor = (time.process_time() - began) / rounds
            decoding = statistics.median(first for first, _ in timed)
            copying = statistics.median(second for _, second in timed)
            together = statistics.median(first + second for first, second in timed)
            lines.append(
                f"| {mega:g} | {kind} | {len(data) / 1e6:.1f} MB | {decoding * 1e3:.0f} ms "
                f"| {copying * 1e3:.0f} ms | {together * 1e3:.0f} ms | {processor * 1e3:.0f} ms "
                f"| {_peak_of(data, kind):.0f} MiB |"
            )
    lines += [
        "",
        "Times are medians; processor time is over all threads and less stretched by other work.",
        "Peak memory is what a fresh process needed beyond itself and the file's own bytes.",
    ]
    return "\n".join(lines)


def take_in(data: bytes) -> tuple[float, float]:
    """Decode a picture and cut its copies.

    Returns:
        Seconds to decode, and to cut and encode.
    """
    began = time.perf_counter()
    decoded = decode(data, limits=_LIMITS, at_least=DISPLAY_SIDE)
    halfway = time.perf_counter()
    encode_display(decoded.image)
    encode_thumbnail(decoded.image)
    encode_network_source(network_source(decoded.image))
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
