"""The process in which pictures from strangers are decoded: a program that knows only pictures.

Started by ``decoders.py``, never imported by the web process. It reads one upload at a time from
its standard input and answers on its standard output; it holds no secret, no connection and no
Django, may take a fixed amount of memory and processor time, and may write no file. What kills it
(a limit, a fault in a decoder) costs one picture.

A request has a number, which every answer to it repeats: an answer to another picture is none. An
answer is a kind of one byte, the number, a length and the body. After ``PIXELS`` it waits for one
byte, so that the parent can make it wait for its turn with a large picture.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from mlcore.imaging import Decoded, Limits

REQUEST = struct.Struct(">QQQQQQ")
ANSWER = struct.Struct(">cQQ")
READY, PIXELS, REFUSED, ACCEPTED = b"R", b"P", b"N", b"A"
_PR_SET_NO_NEW_PRIVS = 38
_MOST_OPEN_FILES = 32


def main() -> None:
    """Serve until the parent goes away. Arguments: bytes of memory, seconds of processor time."""
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    # Loaded before the limits are set, which count from here on.
    import pillow_heif  # noqa: F401, PLC0415 - loads libheif

    import mlcore.imaging  # noqa: F401, PLC0415 - loads Pillow and numpy

    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    confine(memory)
    # C libraries write what they please there, a file's own words among it.
    silence = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(silence, number)
    serve(requests, answers, seconds)


def confine(memory: int) -> None:
    """Give up what decoding does not need. Where a system lacks a limit, the others still hold.

    Args:
        memory: bytes that may be taken beyond what the process holds now.
    """
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: 0}
    limits[resource.RLIMIT_NOFILE] = _MOST_OPEN_FILES
    held = Path("/proc/self/statm")
    if held.exists():
        pages = int(held.read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory
    for limit, value in limits.items():
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def serve(requests: BinaryIO, answers: BinaryIO, seconds: int) -> None:
    """Answer one request after the other until there is none.

    Args:
        requests: a number, four limits and a length, then the file's bytes.
        answers: see the module.
        seconds: of processor time that one picture may take.
    """
    _Answers(answers, 0).say(READY)
    while head := requests.read(REQUEST.size):
        number, max_bytes, max_pixels, min_side, max_side, length = REQUEST.unpack(head)
        data = requests.read(length)
        _grant(seconds)
        bounds = (max_bytes, max_pixels, min_side, max_side)
        _answer(requests, _Answers(answers, number), data, bounds)


class _Answers:
    """Answers to one request."""

    def __init__(self, stream: BinaryIO, number: int) -> None:
        self._stream = stream
        self._number = number

    def say(self, kind: bytes, *parts: bytes) -> None:
        self._stream.write(ANSWER.pack(kind, self._number, sum(map(len, parts))))
        self._stream.writelines(parts)
        self._stream.flush()


def _answer(
    requests: BinaryIO, answers: _Answers, data: bytes, bounds: tuple[int, int, int, int]
) -> None:
    from mlcore.imaging import DISPLAY_SIDE, ImageError, Limits, check, decode  # noqa: PLC0415

    limits = Limits(*bounds)
    try:
        try:
            checked = check(data, limits=limits)
        except ImageError as refused:
            if refused.code != "dicom":
                raise
            _answer_object(requests, answers, data, limits)
            return
        answers.say(PIXELS, struct.pack(">Q", checked.pixels))
        if not requests.read(1):
            return
        head, parts = _cut(decode(data, limits=limits, at_least=DISPLAY_SIDE, checked=checked))
    except ImageError as refused:
        answers.say(REFUSED, refused.code.encode())
    except MemoryError:
        answers.say(REFUSED, b"too_many_pixels")
    else:
        answers.say(ACCEPTED, head, *parts)


def _answer_object(requests: BinaryIO, answers: _Answers, data: bytes, limits: Limits) -> None:
    """Answer a DICOM object: its picture goes the way of any other.

    Raises:
        ImageError: its picture is refused.
    """
    # Few uploads need it, and loading it takes as long as decoding a picture.
    from classifier.exchange.dicom_file import DicomError, open_object  # noqa: PLC0415
    from mlcore.imaging import DISPLAY_SIDE, decode  # noqa: PLC0415 - see main

    try:
        opened = open_object(data, max_pixels=limits.max_pixels, max_side=limits.max_side)
        answers.say(PIXELS, struct.pack(">Q", opened.pixels))
        if not requests.read(1):
            return
        inner = opened.picture()
    except DicomError as refused:
        answers.say(REFUSED, refused.code.encode())
        return
    # Unpacked, it may be larger than an upload may be; its pixels are bounded all the same.
    bounds = replace(limits, max_bytes=max(limits.max_bytes, len(inner)))
    told = {
        "format": "DICOM",
        "taken_at": opened.taken_at and opened.taken_at.isoformat(),
        "dicom": opened.facts,
    }
    head, parts = _cut(decode(inner, limits=bounds, at_least=DISPLAY_SIDE), told)
    answers.say(ACCEPTED, head, *parts)


def _cut(decoded: Decoded, told: dict[str, Any] | None = None) -> tuple[bytes, list[bytes]]:
    """Return the facts as one line of JSON, and the stored copies of a decoded upload.

    ``told`` are facts that the file's own container tells instead of the picture in it.
    """
    from mlcore.imaging import (  # noqa: PLC0415 - see main
        encode_display,
        encode_network_source,
        encode_thumbnail,
        network_source,
    )

    source = network_source(decoded.image)
    parts = [
        encode_display(decoded.image),
        # From the smaller copy: made small anew, a megapixel would take as long as its decoding.
        encode_thumbnail(source),
        encode_network_source(source),
    ]
    facts = {
        "format": decoded.format.value,
        "width": decoded.width,
        "height": decoded.height,
        "taken_at": decoded.taken_at and decoded.taken_at.isoformat(),
        "sizes": [len(part) for part in parts],
    }
    return json.dumps(facts | (told or {})).encode() + b"\n", parts


def _grant(seconds: int) -> None:
    """Allow the next picture its share of processor time; beyond it the kernel ends the process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    allowed = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, hard))


if __name__ == "__main__":
    # Started by its path: the folder that holds mlcore, not this one.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main()
