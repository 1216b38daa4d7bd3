"""Large pictures are decoded one at a time, over threads and processes; small ones never wait."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from classifier.intake import accept, turnstile
from classifier.intake.decoders import end_decoders
from classifier.intake.turnstile import LARGE_PIXELS, one_large_at_a_time
from tests.intake.memory import decoders_peak_mebibytes, forget_decoders_peak
from tests.intake.samples import blank, encoded, sound

if TYPE_CHECKING:
    from pathlib import Path

    from classifier.intake import Accepted

HOLDER = """
import time
from classifier.intake import turnstile
with turnstile.one_large_at_a_time(turnstile.LARGE_PIXELS + 1):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep other test processes out of these tests' way."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_two_large_pictures_are_never_inside_together() -> None:
    inside = 0
    most = 0
    guard = threading.Lock()

    def one() -> None:
        nonlocal inside, most
        with one_large_at_a_time(LARGE_PIXELS + 1):
            with guard:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with guard:
                inside -= 1

    threads = [threading.Thread(target=one) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (most, inside) == (1, 0)


def test_a_small_picture_waits_for_nothing() -> None:
    results: list[Accepted] = []

    def one() -> None:
        results.append(accept(SimpleUploadedFile("small.jpg", sound("JPEG"))))

    with one_large_at_a_time(LARGE_PIXELS + 1):
        thread = threading.Thread(target=one)
        thread.start()
        thread.join(timeout=30)
        assert len(results) == 1


def test_a_fault_inside_lets_the_next_one_in() -> None:
    with pytest.raises(RuntimeError), one_large_at_a_time(LARGE_PIXELS + 1):
        raise RuntimeError
    with one_large_at_a_time(LARGE_PIXELS + 1):
        pass


def test_a_killed_process_lets_the_next_one_in() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        entered = threading.Event()

        def one() -> None:
            with one_large_at_a_time(LARGE_PIXELS + 1):
                entered.set()

        thread = threading.Thread(target=one)
        thread.start()
        assert not entered.wait(0.3)
        holder.kill()
        assert entered.wait(30)
        thread.join(timeout=30)


def test_a_large_picture_goes_through_the_turnstile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(turnstile, "LARGE_PIXELS", 160 * 120 - 1)
    real = fcntl.flock

    def watched(handle: int, operation: int) -> None:
        asked.append(operation)
        real(handle, operation)

    monkeypatch.setattr(fcntl, "flock", watched)
    accept(SimpleUploadedFile("photo.png", sound("PNG")))
    assert asked == [fcntl.LOCK_EX]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_large_picture_is_held_twice_at_most(mode: str) -> None:
    """Pillow takes four bytes a pixel; two copies and the stored ones' buffers are the bound."""
    megapixels = 24
    data = encoded(blank((6_000, 4_000), mode), "PNG", compress_level=1)
    # What one of them kept of earlier pictures would be taken off this one's.
    end_decoders()
    accept(SimpleUploadedFile("small.png", sound("PNG")))
    forget_decoders_peak()
    held = decoders_peak_mebibytes()
    accept(SimpleUploadedFile("large.png", data))
    grown = decoders_peak_mebibytes() - held
    assert megapixels * 4 <= grown < megapixels * 4 * 2.5
