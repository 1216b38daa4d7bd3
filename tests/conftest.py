"""Fixtures for every test: the cast, and files that go away."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from django.test import Client

from classifier.choices import Role
from tests import factories

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_django.fixtures import Settings as SettingsWrapper

    from classifier.models import Clinic, Patient, User


@dataclass(frozen=True)
class Cast:
    """Who takes part: two clinics, and everybody who may or may not see the first one's patient."""

    clinic: Clinic
    other_clinic: Clinic
    owner: User
    colleague: User
    read_only: User
    administrator: User
    stranger: User
    superuser: User
    deactivated: User
    patient: Patient

    def client_of(self, user: User | None, *, confirmed: bool = True) -> Client:
        """Return a browser signed in as ``user``; nobody when None.

        Args:
            user: who.
            confirmed: whether the person gave the password again a moment ago, as dangerous
                actions ask.
        """
        client = Client()
        if user is not None:
            client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
            if confirmed:
                session = client.session
                session["account_authentication_methods"] = [
                    {"method": "password", "at": time.time(), "reauthenticated": True}
                ]
                session["account_authentication_methods_user"] = str(user.pk)
                session.save()
        return client


@pytest.fixture(autouse=True)
def _own_media(settings: SettingsWrapper, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def cast(db: None) -> Cast:
    """Return the cast with one patient of the first clinic."""
    clinic = factories.make_clinic("Northern Skin Clinic")
    other = factories.make_clinic("Southern Skin Clinic")
    owner = factories.make_member(clinic, email="owner@north.example")
    deactivated = factories.make_member(clinic, email="gone@north.example", is_active=False)
    return Cast(
        clinic=clinic,
        other_clinic=other,
        owner=owner,
        colleague=factories.make_member(clinic, email="colleague@north.example"),
        read_only=factories.make_member(clinic, Role.READ_ONLY, email="reader@north.example"),
        administrator=factories.make_member(clinic, Role.ADMINISTRATOR, email="head@north.example"),
        stranger=factories.make_member(other, email="stranger@south.example"),
        superuser=factories.make_user("root@skinapp.example", is_staff=True, is_superuser=True),
        deactivated=deactivated,
        patient=factories.make_patient(clinic, owner, name="Ada Example"),
    )
