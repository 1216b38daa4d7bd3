"""Pictures are decoded in a process that knows no secret and may take only so much."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from classifier.intake import Refused, accept, child, decoders
from classifier.intake.accept import intake_limits
from mlcore.imaging import DISPLAY_SIDE, decode, encode_display, encode_network_source
from mlcore.imaging import network_source as cut_source
from tests.intake import fuzz
from tests.intake.mutate import mutated, seeds
from tests.intake.samples import FORMATS, blank, encoded, sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings

    from tests.conftest import Cast


@pytest.fixture
def fresh() -> Iterator[None]:
    """Decode in processes that know this test's settings, and in others afterwards."""
    decoders.end_decoders()
    yield
    decoders.end_decoders()


def taken(data: bytes) -> str:
    """Return "accepted", or the code of the refusal."""
    try:
        accept(SimpleUploadedFile("picture", data))
    except Refused as refused:
        return refused.code
    return "accepted"


def only_process() -> int:
    """Return the number of the one decoding process there is."""
    (pid,) = decoders.decoders().idle()
    return pid


@pytest.mark.parametrize("kind", FORMATS)
def test_the_copies_are_those_that_the_library_cuts(kind: str) -> None:
    here = decode(sound(kind), at_least=DISPLAY_SIDE)
    accepted = accept(SimpleUploadedFile("picture", sound(kind)))
    assert accepted.display == encode_display(here.image)
    assert accepted.network_source == encode_network_source(cut_source(here.image))
    assert (accepted.width, accepted.height, accepted.format) == (here.width, here.height, kind)


def test_a_decoder_holds_no_secret_and_may_write_nothing(
    fresh: None, settings: LazySettings
) -> None:
    assert taken(sound("JPEG")) == "accepted"
    place = Path("/proc") / str(only_process())
    told = (place / "environ").read_bytes()
    assert os.environ["DATABASE_URL"].encode() not in told
    assert b"SECRET" not in told
    limits = (place / "limits").read_text(encoding="utf-8")
    rows = {line[:25].strip(): line[25:].split()[:2] for line in limits.splitlines()}
    assert rows["Max file size"] == ["0", "0"]
    assert rows["Max core file size"] == ["0", "0"]
    size = int(rows["Max address space"][0])
    held = int((place / "statm").read_text(encoding="ascii").split()[0]) * os.sysconf("SC_PAGESIZE")
    assert settings.INTAKE_DECODE_MEMORY * 0.9 < size < settings.INTAKE_DECODE_MEMORY + held
    assert "NoNewPrivs:\t1" in (place / "status").read_text(encoding="utf-8")
    # Neither the database nor the broker is within its reach.
    opened = [path.readlink().name for path in (place / "fd").iterdir()]
    assert not [name for name in opened if name.startswith("socket:")]


def test_a_picture_over_the_memory_limit_is_refused_and_the_next_is_not(
    fresh: None, settings: LazySettings
) -> None:
    settings.INTAKE_DECODE_MEMORY = 48 * 1024 * 1024
    # 16 megapixels are held as 64 MB.
    large = encoded(blank((4_000, 4_000)), "PNG", compress_level=1)
    assert taken(large) == "too_many_pixels"
    assert taken(sound("PNG")) == "accepted"
    settings.INTAKE_DECODE_MEMORY = 1024**3
    decoders.end_decoders()
    assert taken(large) == "accepted"


def test_a_picture_over_its_time_costs_its_own_decoder_only(
    fresh: None, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    assert taken(sound("PNG")) == "accepted"
    first = only_process()
    settings.INTAKE_DECODE_WALL_SECONDS = 0.0
    assert taken(sound("PNG")) == "too_complex"
    assert "ended its decoding process: too_complex" in caplog.text
    settings.INTAKE_DECODE_WALL_SECONDS = 60.0
    assert taken(sound("PNG")) == "accepted"
    assert only_process() != first
    assert decoders.decoders().lost == 1


def test_a_killed_decoder_is_replaced_and_an_old_one_retires(
    fresh: None, settings: LazySettings
) -> None:
    assert taken(sound("PNG")) == "accepted"
    first = only_process()
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert taken(sound("PNG")) == "accepted"
    second = only_process()
    assert second != first
    settings.INTAKE_DECODER_PICTURES = 2
    assert taken(sound("PNG")) == "accepted"
    assert decoders.decoders().idle() == []


class TimeIsOver(Exception):  # noqa: N818 - as Celery's SoftTimeLimitExceeded
    """What a worker's signal handler raises, wherever the worker is."""


def plain(size: tuple[int, int], colour: tuple[int, int, int]) -> bytes:
    """Return a picture of one colour."""
    return encoded(blank(size, colour=colour), "PNG")


def looks(data: bytes) -> tuple[int, int, tuple[int, ...]]:
    """Return the width, height and colour of what an upload was taken for."""
    cut = decoders.decoders().decode(data, intake_limits())
    with PIL.Image.open(io.BytesIO(cut.network_source)) as source:
        colour = source.convert("RGB").getpixel((0, 0))
    assert isinstance(colour, tuple)
    return cut.width, cut.height, colour


def test_a_picture_cut_short_does_not_answer_for_the_next(
    fresh: None, settings: LazySettings
) -> None:
    """A time limit's signal raises while the decoder works; a clinician's picture comes next."""
    settings.INTAKE_DECODERS = 1
    assert looks(plain((200, 100), (0, 0, 255))) == (200, 100, (0, 0, 255))

    def over(_signal: int, _frame: object) -> None:
        raise TimeIsOver

    before = signal.signal(signal.SIGALRM, over)
    try:
        # About a second's work.
        large = plain((4_000, 3_900), (255, 0, 0))
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(TimeIsOver):
            decoders.decoders().decode(large, intake_limits())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert looks(plain((320, 240), (0, 255, 0))) == (320, 240, (0, 255, 0))
    assert looks(plain((140, 150), (9, 8, 7))) == (140, 150, (9, 8, 7))


def test_an_answer_to_another_picture_is_none(fresh: None, settings: LazySettings) -> None:
    settings.INTAKE_DECODERS = 1
    assert looks(plain((200, 100), (0, 0, 255)))[:2] == (200, 100)
    first = only_process()
    (decoder,) = decoders.decoders()._idle
    tell = decoder._tell

    def stale(*parts: bytes) -> None:
        number, *others = child.REQUEST.unpack(parts[0])
        tell(child.REQUEST.pack(number - 1, *others), *parts[1:])

    decoder._tell = stale  # type: ignore[method-assign]
    assert taken(plain((320, 240), (0, 255, 0))) == "damaged"
    assert looks(plain((320, 240), (0, 255, 0))) == (320, 240, (0, 255, 0))
    assert only_process() != first


def answers_to(*requests: bytes, go: bytes = b"G") -> list[tuple[bytes, int, bytes]]:
    """Return what the child's own loop says, run here: kinds, numbers and bodies."""
    limits = intake_limits()
    asked = b"".join(
        child.REQUEST.pack(
            number,
            *(limits.max_bytes, limits.max_pixels, limits.min_side, limits.max_side, len(data)),
        )
        + data
        + (go if data.startswith(b"\xff\xd8") else b"")
        for number, data in enumerate(requests, start=1)
    )
    said = io.BytesIO()
    child.serve(io.BytesIO(asked), said, 10_000)
    said.seek(0)
    found = []
    while head := said.read(child.ANSWER.size):
        kind, number, length = child.ANSWER.unpack(head)
        found.append((kind, number, said.read(length)))
    return found


def test_the_protocol_word_for_word() -> None:
    told = answers_to(sound("JPEG"), b"no picture", sound("JPEG"))
    kinds = [(kind, number) for kind, number, _ in told]
    assert kinds == [(b"R", 0), (b"P", 1), (b"A", 1), (b"N", 2), (b"P", 3), (b"A", 3)]
    assert told[1][2] == struct.pack(">Q", 160 * 120)
    assert told[3][2] == b"not_an_image"
    # A parent that goes away while a picture waits for its turn.
    assert [kind for kind, *_ in answers_to(sound("JPEG"), go=b"")] == [b"R", b"P"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}\n",
        b"[]\n",
        b'{"format": "JPEG", "width": 1, "height": 1, "taken_at": null, "sizes": [1, 1, 1]}\nabc',
        b'{"format": "EXE", "width": 1, "height": 1, "taken_at": null, "sizes": [0, 0, 0]}\n',
    ],
)
def test_a_decoder_is_not_believed_what_it_says(body: bytes) -> None:
    with pytest.raises(EOFError):
        decoders._opened(body)


def test_some_hundred_spoilt_files_do_no_harm(cast: Cast, settings: LazySettings) -> None:
    """The short form of ``python -m tests.intake.fuzz``; docs/hostile-files.md has the long one."""
    client = Client(raise_request_exception=False)
    client.force_login(cast.owner, backend="django.contrib.auth.backends.ModelBackend")
    post = fuzz.poster(client, reverse("image_upload", args=[cast.patient.pk]))
    # Not the long run's files, and the same ones every time.
    numbers = range(10_000_000, 10_000_400)
    counts = fuzz.run(numbers, post=post, report=lambda _number, _counts: None)
    assert counts.faults == {}
    assert counts.statuses.total() == 8
    assert counts.codes.total() == 392
    assert len(counts.codes) >= 8
    assert counts.codes["accepted"] >= 10
    assert settings.INTAKE_MAX_PIXELS == 64_000_000
    assert "**400**" in counts.table()


def test_a_spoilt_file_is_made_from_its_number_alone() -> None:
    again = random.Random(7)  # noqa: S311 - to be repeated, not to be secret
    assert fuzz.file_of(7) == fuzz.file_of(7) == mutated(again)
    assert len({fuzz.file_of(number) for number in range(60)}) > 55
    assert len(seeds()) > 80
