"""Many spoilt files through the intake: none may do more than be refused.

``python -m skinapp.runtime exec -- python -m tests.intake.fuzz --files 100000`` prints the counts
for docs/hostile-files.md. Each file comes from a number alone, so a find is repeated with
``--first NUMBER --files 1``. Most files are given to ``classifier.intake.accept``, which does all
that depends on a file's content; every fiftieth is sent by HTTP as a clinician would.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.test import Client

MOST_SECONDS = 4.0
MOST_MEBIBYTES = 400.0
_EVERY_REPORT = 2_000
_EVERY_POST = 50
# Mutated headers say large sizes: mostly a lower bound, so that the time goes into more files.
_EVERY_FULL_SIZE = 10
_LOW_PIXELS = 2_000_000


@dataclass
class Counts:
    """What became of the files.

    Attributes:
        codes: how many were accepted, or refused with which code.
        statuses: of the HTTP answers.
        faults: the numbers of files that did what no file may do, and what that was.
        slowest: processor seconds of the decoding process on one file, and the file's number.
        largest: MiB that a decoding process held at most.
        lost: decoding processes that ended over a file.
    """

    codes: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    faults: dict[int, str] = field(default_factory=dict)
    slowest: tuple[float, int] = (0.0, 0)
    largest: float = 0.0
    lost: int = 0

    def table(self) -> str:
        """Return the counts as Markdown."""
        total = self.codes.total() + self.statuses.total()
        lines = ["| What became of it | Files |", "|---|---:|"]
        lines += [f"| {code} | {count:,} |" for code, count in self.codes.most_common()]
        lines += [f"| by HTTP: {status} | {n:,} |" for status, n in sorted(self.statuses.items())]
        lines += [
            f"| **together** | **{total:,}** |",
            f"| crashes, 500s, over time or memory | {len(self.faults)} |",
            "",
            f"Slowest: {self.slowest[0]:.2f} s of processor time (file {self.slowest[1]}).",
            f"A decoding process held at most {self.largest:.0f} MiB.",
        ]
        lines += [f"- file {number}: {what}" for number, what in self.faults.items()]
        return "\n".join(lines)


def file_of(number: int) -> bytes:
    """Return the spoilt file of a number."""
    from tests.intake.mutate import mutated

    return mutated(random.Random(number))  # noqa: S311 - to be repeated, not to be secret


def run(
    numbers: Iterable[int], *, post: Callable[[bytes], int], report: Callable[[int, Counts], None]
) -> Counts:
    """Give every file to the intake.

    Args:
        numbers: of the files.
        post: sends a file by HTTP and returns the status.
        report: called after each file with its number and the counts so far.
    """
    from django.conf import settings

    from classifier.intake.decoders import decoders
    from tests.intake.memory import decoders_seconds

    counts = Counts(lost=decoders().lost)
    full = settings.INTAKE_MAX_PIXELS
    for number in numbers:
        data = file_of(number)
        settings.INTAKE_MAX_PIXELS = full if number % _EVERY_FULL_SIZE == 0 else _LOW_PIXELS
        before = decoders_seconds()
        try:
            if number % _EVERY_POST == 0:
                status = post(data)
                counts.statuses[status] += 1
                if status >= 500:
                    counts.faults[number] = f"HTTP {status}"
            else:
                counts.codes[_code_of(data)] += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a find
            counts.faults[number] = f"{type(error).__name__}: {error}"
        _weigh(counts, number, before)
        report(number, counts)
    settings.INTAKE_MAX_PIXELS = full
    return counts


def _code_of(data: bytes) -> str:
    from django.core.files.uploadedfile import SimpleUploadedFile

    from classifier.intake import Refused, accept

    try:
        accepted = accept(SimpleUploadedFile("picture", data))
    except Refused as refused:
        return refused.code
    if min(accepted.width, accepted.height) < 1 or not accepted.display:
        raise AssertionError("an accepted picture without pixels")
    return "accepted"


def _weigh(counts: Counts, number: int, before: dict[int, float]) -> None:
    """Note time and memory of the decoding process, and whether one was lost."""
    from classifier.intake.decoders import decoders
    from tests.intake.memory import decoders_peak_mebibytes, decoders_seconds

    if decoders().lost > counts.lost:
        counts.lost = decoders().lost
        counts.faults[number] = "ended its decoding process"
    for pid, seconds in decoders_seconds().items():
        spent = seconds - before.get(pid, seconds)
        counts.slowest = max(counts.slowest, (spent, number))
        if spent > MOST_SECONDS:
            counts.faults[number] = f"took {spent:.1f} s"
    held = decoders_peak_mebibytes()
    counts.largest = max(counts.largest, held)
    if held > MOST_MEBIBYTES:
        counts.faults[number] = f"{held:.0f} MiB"


def poster(client: Client, address: str) -> Callable[[bytes], int]:
    """Return what sends a file to an upload page and takes back what it left."""
    from django.core.files.uploadedfile import SimpleUploadedFile
    from django.db import transaction

    def post(data: bytes) -> int:
        with transaction.atomic():
            upload = SimpleUploadedFile("photo.jpg", data, content_type="image/jpeg")
            status = client.post(address, {"images": [upload], "modality": "clinical"}).status_code
            transaction.set_rollback(True)
        return status

    return post


def main() -> int:
    """Run the fuzzer on throw-away tables; return 1 when it found something."""
    parser = argparse.ArgumentParser(prog="python -m tests.intake.fuzz", description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the first file's number")
    chosen = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django

    django.setup()
    import tempfile

    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.urls import reverse

    from tests import factories

    connection.creation.create_test_db(verbosity=0)
    began = time.monotonic()

    def report(number: int, counts: Counts) -> None:
        done = number - chosen.first + 1
        if done % _EVERY_REPORT == 0 or number in counts.faults:
            spent = time.monotonic() - began
            sys.stdout.write(f"{done} files, {spent:.0f} s, {dict(counts.faults)}\n")
            sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="skinapp-fuzz-") as media:
        settings.MEDIA_ROOT = Path(media)
        clinic = factories.make_clinic("Clinic")
        owner = factories.make_member(clinic, email="owner@clinic.example")
        patient = factories.make_patient(clinic, owner)
        # A fault is an answer to count, not to stop at.
        client = Client(raise_request_exception=False)
        client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
        counts = run(
            range(chosen.first, chosen.first + chosen.files),
            post=poster(client, reverse("image_upload", args=[patient.pk])),
            report=report,
        )
    sys.stdout.write(counts.table() + "\n")
    return int(bool(counts.faults))


if __name__ == "__main__":
    sys.exit(main())
