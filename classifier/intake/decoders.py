"""Processes that decode what strangers send, kept warm and used in turn.

Why not in the web process: a limit on memory holds for a whole process, so a picture that goes
over it there would take the requests of others along; and a fault in a decoder's C code would
read this process's secrets. Why not a process for each picture: importing Pillow and libheif takes
longer than decoding. What it costs is measured by ``python -m bench decoders``.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import signal
import struct
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from django.conf import settings

from classifier.intake import child
from classifier.intake.refusals import DICOM_REFUSALS, REFUSALS, Refused
from classifier.intake.turnstile import one_large_at_a_time
from mlcore.imaging import Format

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlcore.imaging import Limits

logger = logging.getLogger(__name__)

_PROGRAM = Path(child.__file__)
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
# What the format of a DICOM object is called; the others are called as Pillow calls them.
DICOM = "DICOM"
_TOLD = ("modality", "number", "name", "born")
_MOST_ANSWER = 64 * 1024 * 1024
_END_SECONDS = 2.0
# Threads of numpy and arenas of malloc would be counted as memory, used or not.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class DecoderError(RuntimeError):
    """A decoding process does not start or does not keep to its protocol."""


@dataclass(frozen=True)
class DicomFacts:
    """What a DICOM object says of its picture; whose it is serves to refuse it, and is not kept.

    Attributes:
        modality: a value of ``Modality``, by the object's class.
        number: the patient's identifier; may be empty.
        name: the patient's name, its parts apart by ``^``; may be empty.
        born: YYYYMMDD, or empty.
    """

    modality: str
    number: str
    name: str
    born: str


@dataclass(frozen=True)
class Cut:
    """What a decoding process made of an upload: see ``Accepted``."""

    format: str
    width: int
    height: int
    taken_at: datetime | None
    display: bytes
    thumbnail: bytes
    network_source: bytes
    dicom: DicomFacts | None = None


class Decoder:
    """One decoding process.

    Attributes:
        pictures: how many it was given.
    """

    def __init__(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            DecoderError: it does not start.
        """
        self.pictures = 0
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [
                *(sys.executable, str(_PROGRAM)),
                *(str(settings.INTAKE_DECODE_MEMORY), str(settings.INTAKE_DECODE_SECONDS)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Nothing of this process's environment: it holds the secrets.
            env=_ENVIRONMENT,
            # Ctrl-C in a terminal is for the parent, whose end it notices.
            start_new_session=True,
        )
        try:
            kind, _body = self._hear()
        except (OSError, EOFError) as error:
            self.end()
            raise DecoderError("The decoding process does not start.") from error
        except BaseException:
            self.end()
            raise
        if kind != child.READY:
            self.end()
            raise DecoderError("The decoding process does not keep to its protocol.")

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def decode(self, data: bytes, limits: Limits) -> Cut:
        """Decode one upload.

        After anything but an answer or ``Refused``, use the process no more: what it still says
        would be taken for the answer to the next picture.

        Raises:
            Refused: it is not a fit picture.
            OSError: the process ended, or was ended for taking too long.
            EOFError: likewise, or it does not keep to the protocol.
        """
        self.pictures += 1
        head = child.REQUEST.pack(
            self.pictures,
            *(limits.max_bytes, limits.max_pixels, limits.min_side, limits.max_side, len(data)),
        )
        with self._watched():
            self._tell(head, data)
            kind, body = self._hear()
        if kind == child.PIXELS:
            (pixels,) = struct.unpack(">Q", body)
            # Its time does not run while it waits for its turn.
            with one_large_at_a_time(pixels), self._watched():
                self._tell(b"G")
                kind, body = self._hear()
        if kind == child.REFUSED:
            code = body.decode("ascii", "replace")
            raise Refused(code if code in REFUSALS | DICOM_REFUSALS else "damaged")
        return _opened(body)

    def is_alive(self) -> bool:
        """Tell whether it runs."""
        return self._process.poll() is None

    def fate(self) -> str:
        """Return the code of the refusal that its end stands for.

        Where it went over its time (the kernel's signal or ours) the file is too complex; where a
        decoder's own code broke, the file is damaged.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            ended = self._process.wait(_END_SECONDS)
            return "too_complex" if -ended in {signal.SIGXCPU, signal.SIGKILL} else "damaged"
        return "damaged"

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        with contextlib.suppress(OSError):
            cast("IO[bytes]", self._process.stdin).close()
        cast("IO[bytes]", self._process.stdout).close()
        self._process.wait()

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Kill the process when it takes too long, which ends whatever waits for it."""
        timer = threading.Timer(settings.INTAKE_DECODE_WALL_SECONDS, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _tell(self, *parts: bytes) -> None:
        stdin = cast("IO[bytes]", self._process.stdin)
        for part in parts:
            stdin.write(part)
        stdin.flush()

    def _hear(self) -> tuple[bytes, bytes]:
        """Return the next answer's kind and body.

        Raises:
            EOFError: the process ended before it had answered, or answers another picture.
        """
        kind, number, length = child.ANSWER.unpack(self._read(child.ANSWER.size))
        if number != self.pictures or length > _MOST_ANSWER:
            raise EOFError
        return kind, self._read(length)

    def _read(self, length: int) -> bytes:
        data = cast("IO[bytes]", self._process.stdout).read(length)
        if len(data) < length:
            raise EOFError
        return data


def _opened(body: bytes) -> Cut:
    """Return what an accepting answer holds. The process is trusted with nothing.

    Raises:
        EOFError: the answer is not what our program says.
    """
    line, _newline, rest = body.partition(b"\n")
    try:
        facts = json.loads(line)
        ends = [sum(facts["sizes"][: count + 1]) for count in range(3)]
        parts = [rest[begin:end] for begin, end in zip([0, *ends[:2]], ends, strict=True)]
        dicom = facts.get("dicom")
        cut = Cut(
            format=DICOM if dicom else Format(facts["format"]).value,
            width=int(facts["width"]),
            height=int(facts["height"]),
            taken_at=facts["taken_at"] and datetime.fromisoformat(facts["taken_at"]),
            display=parts[0],
            thumbnail=parts[1],
            network_source=parts[2],
            dicom=DicomFacts(**{name: str(dicom[name]) for name in _TOLD}) if dicom else None,
        )
    except (ValueError, LookupError, TypeError) as error:
        raise EOFError from error
    signatures = [_JPEG, _JPEG, _PNG]
    if not all(part.startswith(sign) for part, sign in zip(parts, signatures, strict=True)):
        raise EOFError
    return cut


class Decoders:
    """The decoding processes of this process: at most ``INTAKE_DECODERS``, started when needed.

    Attributes:
        lost: how many ended over a picture.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._idle: deque[Decoder] = deque()
        self._free = threading.BoundedSemaphore(settings.INTAKE_DECODERS)
        self.lost = 0

    def decode(self, data: bytes, limits: Limits) -> Cut:
        """Decode one upload in a process that is free; wait for one if need be.

        Raises:
            Refused: it is not a fit picture, or its decoder broke on it.
            DecoderError: no process can be started.
        """
        with self._free:
            decoder = self._take()
            try:
                cut = decoder.decode(data, limits)
            except Refused:
                # A complete answer, too.
                self._put(decoder)
                raise
            except (OSError, EOFError) as error:
                self.lost += 1
                code = decoder.fate()
                # The size alone, so that whoever looks can tell two reports of one file.
                logger.warning("A file of %d bytes ended its decoding process: %s", len(data), code)
                decoder.end()
                raise Refused(code) from error
            except BaseException:
                # A worker's time limit, say, in the midst of it: half an exchange is in the pipes,
                # and the next picture would get this one's pixels.
                decoder.end()
                raise
            self._put(decoder)
            return cut

    def idle(self) -> list[int]:
        """Return the numbers of the processes that wait for a picture."""
        return [decoder.pid for decoder in self._idle]

    def end(self) -> None:
        """End them all."""
        while self._idle:
            self._idle.pop().end()

    def _take(self) -> Decoder:
        while True:
            try:
                decoder = self._idle.pop()
            except IndexError:
                return Decoder()
            if decoder.is_alive():
                return decoder
            decoder.end()

    def _put(self, decoder: Decoder) -> None:
        if decoder.pictures < settings.INTAKE_DECODER_PICTURES and decoder.is_alive():
            self._idle.append(decoder)
        else:
            decoder.end()


_decoders: list[Decoders] = []
_making = threading.Lock()


def decoders() -> Decoders:
    """Return this process's decoding processes."""
    with _making:
        if not _decoders:
            _decoders.append(Decoders())
        return _decoders[0]


def end_decoders() -> None:
    """End them; the next upload starts new ones."""
    with _making:
        while _decoders:
            _decoders.pop().end()


def _after_fork() -> None:
    global _making  # noqa: PLW0603 - whoever held it at the fork does not live here
    _making = threading.Lock()
    # They are the parent's: two processes on one pipe would get each other's pictures.
    _parents.extend(_decoders)
    _decoders.clear()


# Kept, because what is thrown away would be waited for.
_parents: list[Decoders] = []
os.register_at_fork(after_in_child=_after_fork)
atexit.register(end_decoders)
