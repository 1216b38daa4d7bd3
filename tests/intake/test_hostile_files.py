"""Every hostile file gets its own plain sentence and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from classifier.intake import REFUSALS, Refused, accept
from classifier.models import Analysis, AuditEvent, Image, Lesion, Transition
from mlcore.imaging import FAULTS
from tests.intake.hostile import HOSTILE
from tests.intake.measure import send_file
from tests.intake.samples import FORMATS, sound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.conf import LazySettings
    from pytest_django import DjangoCaptureOnCommitCallbacks

    from tests.conftest import Cast
    from tests.intake.hostile_file import Hostile

MOST_SECONDS = 2.0
MOST_MEBIBYTES = 300


@pytest.fixture
def folders(settings: LazySettings, tmp_path: Path) -> list[Path]:
    """Return the media folder and the one for uploads that are too large for memory."""
    temporary = tmp_path / "uploads"
    temporary.mkdir()
    settings.FILE_UPLOAD_TEMP_DIR = str(temporary)
    return [Path(settings.MEDIA_ROOT), temporary]


def files_in(folders: list[Path]) -> list[Path]:
    """Return every file below the folders."""
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_file_is_refused_with_its_own_sentence_and_leaves_nothing(
    cast: Cast,
    folders: list[Path],
    hostile: Hostile,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    client = cast.client_of(cast.owner)
    data = hostile.data
    with django_capture_on_commit_callbacks() as nudges:
        answer = send_file(client, cast.patient, hostile.name, data)
    assert 400 <= answer.status < 500
    assert str(Refused(hostile.code)) in answer.body
    assert hostile.name in answer.body
    assert files_in(folders) == []
    for model in (Image, Analysis, Transition, Lesion):
        assert not model.objects.exists()
    assert not AuditEvent.objects.filter(action__in=["image.added", "analysis.requested"]).exists()
    assert nudges == []
    assert answer.seconds < MOST_SECONDS
    assert answer.mebibytes < MOST_MEBIBYTES


def test_the_table_is_large_varied_and_without_doubles() -> None:
    assert len(HOSTILE) >= 45
    names = [hostile.name for hostile in HOSTILE]
    assert len(set(names)) == len(names)
    contents = [hostile.data for hostile in HOSTILE]
    assert len(set(contents)) == len(contents)
    # Every reason to refuse a file is met at least once.
    assert {hostile.code for hostile in HOSTILE} == set(REFUSALS)


def test_each_refusal_has_its_own_sentence_here_and_in_the_library() -> None:
    assert set(REFUSALS) == set(FAULTS)
    sentences = [str(Refused(code)) for code in REFUSALS]
    assert len(set(sentences)) == len(sentences)
    for sentence in (*sentences, *FAULTS.values()):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert "%" not in sentence


@pytest.mark.parametrize("kind", FORMATS)
def test_what_the_hostile_files_are_made_of_is_accepted(
    cast: Cast, folders: list[Path], kind: str
) -> None:
    """A refusal in the table is for what was done to the file, not for what it was made of."""
    answer = send_file(cast.client_of(cast.owner), cast.patient, "photo.jpg", sound(kind))
    assert answer.status == 302
    assert Image.objects.get().original_format == kind
    assert len(files_in(folders)) == 3


def test_an_upload_that_lies_about_its_size_is_cut_short(settings: LazySettings) -> None:
    settings.INTAKE_MAX_BYTES = 1_000

    class Endless(SimpleUploadedFile):
        """Says it is small, and never ends."""

        sent = 0

        def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:  # noqa: ARG002 - Django's
            """Yield for ever."""
            while True:
                self.sent += 1
                yield b"x" * 400

    upload = Endless("small.jpg", b"x")
    with pytest.raises(Refused) as refused:
        accept(upload)
    assert refused.value.code == "too_many_bytes"
    assert upload.sent == 3
