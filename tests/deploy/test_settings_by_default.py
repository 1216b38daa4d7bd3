"""A variable that was forgotten lets nobody's demo accounts into a hospital's database."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from classifier.models import Clinic, User
from skinapp.runtime.supervisor import ROOT
from tests.jobs.processes import database_url


def forgotten(*command: str) -> tuple[int, str]:
    """Run Python where the database is named and the settings are not."""
    left_out = {"DJANGO_SETTINGS_MODULE", "SECRET_KEY", "SECRET_KEY_FILE", "DEMO_CLINIC"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment | {"DATABASE_URL": database_url()},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_no_demo_clinic_is_seeded_where_the_settings_were_forgotten(
    transactional_db: None,
) -> None:
    status, said = forgotten("manage.py", "seed_demo", "--patients", "1")
    assert status != 0
    assert "ImproperlyConfigured" in said
    assert not User.objects.exists()
    assert not Clinic.objects.exists()


def test_every_door_takes_the_settings_of_production() -> None:
    for door in ("manage", "skinapp.celery", "skinapp.wsgi"):
        text = (ROOT / f"{door.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert re.findall(r'"DJANGO_SETTINGS_MODULE", "(.*)"', text) == [
            "skinapp.settings.production"
        ]
    # What needs no database and no secret says so itself.
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    called = [line for line in lines if "manage.py" in line]
    assert called
    assert all("DJANGO_SETTINGS_MODULE=skinapp.settings.local" in line for line in called)
