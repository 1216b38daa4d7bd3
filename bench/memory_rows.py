"""``python -m bench.memory_rows N [SEED]``: queue so many analyses of a few drawn images.

Many rows share the files of a few: what is measured is the worker, not the disk.
"""

from __future__ import annotations

import hashlib
import sys

import django
from django.core.files.uploadedfile import SimpleUploadedFile

_DRAWN = 16


def main(count: int, seed: int = 5) -> None:
    """Add rows to the installation that the environment names; another seed, other images."""
    django.setup()
    fill(count, seed)


def fill(count: int, seed: int = 5) -> None:
    """Add rows where Django is set up; no message is sent."""
    from classifier.choices import ActorKind, State  # noqa: PLC0415 - after django.setup()
    from classifier.models import (  # noqa: PLC0415 - same
        LABEL_SET_OF,
        Analysis,
        Image,
        Patient,
        Transition,
        User,
    )
    from classifier.services.images import add_image  # noqa: PLC0415 - same

    patient = Patient.objects.order_by("created_at")[0]
    person = User.objects.get(pk=patient.created_by_id)
    drawn = [
        add_image(
            patient=patient,
            by=person,
            upload=SimpleUploadedFile("x.jpg", data, "image/jpeg"),
            modality=modality,
        ).image
        for data, modality in _pictures(seed)
    ]
    names = [field.attname for field in Image._meta.concrete_fields]
    facts = [
        {name: getattr(image, name) for name in names if name not in {"id", "created_at"}}
        for image in drawn
    ]
    images = [
        Image(
            **facts[number % _DRAWN]
            | {"original_sha256": hashlib.sha256(f"{seed}-{number}".encode()).hexdigest()}
        )
        for number in range(count - _DRAWN)
    ]
    Image.objects.bulk_create(images, batch_size=500)
    analyses = [
        Analysis(
            clinic_id=image.clinic_id,
            patient_id=image.patient_id,
            image=image,
            label_set=LABEL_SET_OF[image.modality],  # type: ignore[index]  # a value of Modality
            modality=image.modality,
            requested_by=person,
        )
        for image in images
    ]
    Analysis.objects.bulk_create(analyses, batch_size=500)
    Transition.objects.bulk_create(
        [
            Transition(
                analysis=analysis,
                to_state=State.QUEUED,
                attempt=0,
                actor_kind=ActorKind.USER,
                actor=person,
            )
            for analysis in analyses
        ],
        batch_size=500,
    )


def _pictures(seed: int) -> list[tuple[bytes, str]]:
    from bench.chaos.uploads import drawn_uploads  # noqa: PLC0415 - only this process draws

    return [(upload.data, upload.modality) for upload in drawn_uploads(_DRAWN, seed=seed)]


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:3]))
