"""``python -m bench.chaos.prepare``: tables, networks, people and patients of the installation."""

from __future__ import annotations

import os
import sys

import django
from django.core.management import call_command


def main(patients: int) -> None:
    """Make what the run needs; patients come without images."""
    django.setup()
    from classifier.models import Clinic, User  # noqa: PLC0415 - models exist after django.setup()
    from classifier.services.demo import DEMO_PEOPLE, seed_demo  # noqa: PLC0415 - as above
    from classifier.services.patients import register_patient  # noqa: PLC0415 - as above

    call_command("migrate", verbosity=0, interactive=False)
    call_command("register_models", verbosity=0)
    seed_demo(password=os.environ["DEMO_PASSWORD"], patients=0)
    clinic = Clinic.objects.get()
    clinician = User.objects.get(email=DEMO_PEOPLE[0].email)
    for number in range(patients):
        register_patient(
            clinic=clinic, by=clinician, record_number=f"C-{number:03}", name=f"Patient {number}"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]))
