"""Registering releases, switching between them, and going back."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from classifier.models import AuditEvent, ModelVersion
from classifier.services.errors import ConflictError, RuleError
from classifier.services.model_versions import (
    activate_version,
    register_release,
    release_folder,
    roll_back,
    verified_release,
)
from mlcore.bundle import ReleaseError
from tests import factories
from tests.jobs.tiny_releases import write_tiny_release

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django.fixtures import Settings

    from tests.conftest import Cast

Registered = dict[str, ModelVersion]


@pytest.fixture
def newer(networks: Registered, releases: Path, tiny_networks: Path) -> Callable[..., ModelVersion]:
    """Return what registers further versions of isic9."""

    def register(version: str) -> ModelVersion:
        release = write_tiny_release(releases, tiny_networks, "isic9", version)
        return register_release(folder=release.folder)[0]

    return register


def active(label_set: str = "isic9") -> str:
    """Return the version that answers."""
    return ModelVersion.objects.get(label_set=label_set, active=True).version


# --- Registering -------------------------------------------------------------------------------


def test_a_release_is_registered_once(db: None, releases: Path) -> None:
    folder = releases / "isic9" / "0.1.0"
    version, new = register_release(folder=folder)
    again, new_again = register_release(folder=folder)
    assert (new, new_again) == (True, False)
    assert again == version
    assert (version.label_set, version.version, version.active) == ("isic9", "0.1.0", False)
    assert version.manifest == json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert version.metrics == {"figures": {"version": "0.1.0"}}
    assert release_folder(version) == folder
    assert verified_release(version).artefact_sha256 == version.artefact_sha256
    event = AuditEvent.objects.get()
    assert event.action == "model_version.registered"
    assert event.details == {
        "sha256": version.artefact_sha256,
        "label_set": "isic9",
        "version": "0.1.0",
    }


def test_a_release_that_no_picture_could_be_judged_with_is_not_registered(
    db: None, releases: Path, tiny_networks: Path
) -> None:
    checks = [{"name": "labels", "detector": "of another program", "threshold": 0.1}]
    made = write_tiny_release(releases, tiny_networks, "isic9", "0.2.0", gate={"checks": checks})
    with pytest.raises(ReleaseError, match=r"no gate\.npz in its manifest"):
        register_release(folder=made.folder)
    assert not ModelVersion.objects.filter(version="0.2.0").exists()


def change(folder: Path) -> None:
    """Change one byte of a file."""
    path = folder / "model.tflite"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def take_away(folder: Path) -> None:
    """Take a file away."""
    (folder / "model.keras").unlink()


def take_manifest_away(folder: Path) -> None:
    """Take the manifest away."""
    (folder / "manifest.json").unlink()


def swap_labels(folder: Path) -> None:
    """Change the order of the labels."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["labels"].reverse()
    path.write_text(json.dumps(manifest), encoding="utf-8")


@pytest.mark.parametrize("damage", [change, take_away, take_manifest_away, swap_labels])
def test_a_damaged_release_is_refused(
    db: None, releases: Path, damage: Callable[[Path], None]
) -> None:
    folder = releases / "isic9" / "0.1.0"
    damage(folder)
    with pytest.raises(ReleaseError):
        register_release(folder=folder)
    assert not ModelVersion.objects.exists()
    assert not AuditEvent.objects.exists()


def test_other_files_under_a_known_version_are_refused(
    networks: Registered, tiny_networks: Path, tmp_path: Path
) -> None:
    other = write_tiny_release(tmp_path / "x", tiny_networks, "isic9", "0.1.0", temperature=3.0)
    with pytest.raises(RuleError, match="new version"):
        register_release(folder=other.folder)
    assert ModelVersion.objects.filter(label_set="isic9").count() == 1


@pytest.mark.django_db(transaction=True)
def test_two_who_register_at_once_get_one_version(transactional_db: None, releases: Path) -> None:
    start = threading.Barrier(4)

    def register(_number: int) -> tuple[ModelVersion, bool]:
        try:
            start.wait(20)
            return register_release(folder=releases / "isic9" / "0.1.0")
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(register, range(4)))
    assert len({version.pk for version, _new in found}) == 1
    assert [new for _version, new in found].count(True) == 1
    assert AuditEvent.objects.filter(action="model_version.registered").count() == 1


# --- Activating and rolling back ---------------------------------------------------------------


def test_one_version_answers_for_a_label_set(
    cast: Cast, newer: Callable[..., ModelVersion]
) -> None:
    second = newer("0.2.0")
    assert activate_version(version=second, by=cast.superuser, reason="Better on melanoma")
    second.refresh_from_db()
    assert active() == "0.2.0"
    assert active("clinical5") == "0.1.0"
    assert second.activated_at is not None
    event = AuditEvent.objects.filter(action="model_version.activated").latest("id")
    assert (event.actor, event.reason) == (cast.superuser, "Better on melanoma")
    assert (event.details["before"], event.details["version"]) == ("0.1.0", "0.2.0")
    count = AuditEvent.objects.count()
    assert not activate_version(version=second, by=cast.superuser, reason="Again")
    assert AuditEvent.objects.count() == count
    with pytest.raises(IntegrityError, match="model_version_one_active"), transaction.atomic():
        ModelVersion.objects.filter(label_set="isic9").update(active=True)


def test_a_version_whose_files_were_changed_is_not_activated(
    newer: Callable[..., ModelVersion], releases: Path
) -> None:
    second = newer("0.2.0")
    change(releases / "isic9" / "0.2.0")
    with pytest.raises(RuleError, match="cannot be used"):
        activate_version(version=second)
    assert active() == "0.1.0"


def test_another_release_in_the_folder_is_not_taken_for_the_registered_one(
    networks: Registered, settings: Settings, tiny_networks: Path, tmp_path: Path
) -> None:
    write_tiny_release(tmp_path / "other", tiny_networks, "isic9", "0.1.0", temperature=3.0)
    settings.MLCORE_RELEASES = tmp_path / "other"
    with pytest.raises(ReleaseError, match="not the release"):
        verified_release(networks["isic9"])


def test_rolling_back_goes_back_and_never_to_what_was_left(
    cast: Cast, newer: Callable[..., ModelVersion]
) -> None:
    second, third = newer("0.2.0"), newer("0.3.0")
    activate_version(version=second)
    activate_version(version=third)
    assert roll_back(label_set="isic9", by=cast.superuser, reason="Worse") == second
    assert active() == "0.2.0"
    assert AuditEvent.objects.latest("id").actor == cast.superuser
    assert roll_back(label_set="isic9").version == "0.1.0"
    with pytest.raises(RuleError, match="No earlier version"):
        roll_back(label_set="isic9")
    assert active() == "0.1.0"
    # By name it may come back, and from there the way leads to what answered before it.
    activate_version(version=third)
    assert roll_back(label_set="isic9").version == "0.1.0"


def test_a_roll_back_to_damaged_files_changes_nothing(
    newer: Callable[..., ModelVersion], releases: Path
) -> None:
    activate_version(version=newer("0.2.0"))
    change(releases / "isic9" / "0.1.0")
    with pytest.raises(RuleError, match="cannot be used"):
        roll_back(label_set="isic9")
    assert active() == "0.2.0"


@pytest.mark.parametrize(
    ("who", "reason", "sentence"),
    [
        ("superuser", "   ", "give a reason"),
        ("administrator", "Because", "Only an administrator of the installation"),
        ("deactivated", "Because", "Only an administrator of the installation"),
    ],
)
def test_a_switch_asks_who_and_why(
    cast: Cast, newer: Callable[..., ModelVersion], who: str, reason: str, sentence: str
) -> None:
    second = newer("0.2.0")
    by = getattr(cast, who)
    with pytest.raises(RuleError, match=sentence):
        activate_version(version=second, by=by, reason=reason)
    activate_version(version=second)
    with pytest.raises(RuleError, match=sentence):
        roll_back(label_set="isic9", by=by, reason=reason)
    assert active() == "0.2.0"


def test_who_saw_another_version_answering_switches_nothing(
    cast: Cast, newer: Callable[..., ModelVersion]
) -> None:
    first = ModelVersion.objects.get(label_set="isic9", active=True)
    second, third = newer("0.2.0"), newer("0.3.0")
    root, seen = cast.superuser, str(first.pk)
    activate_version(version=second, by=root, reason="Better", seen=seen)
    with pytest.raises(ConflictError, match=r"isic9 0\.2\.0 answers now"):
        activate_version(version=third, by=root, reason="Better", seen=seen)
    with pytest.raises(ConflictError, match=r"isic9 0\.2\.0 answers now"):
        roll_back(label_set="isic9", by=root, reason="Worse", seen=seen)
    # Who wanted the same has what they wanted.
    assert not activate_version(version=second, by=root, reason="Better", seen=seen)
    assert active() == "0.2.0"


@pytest.mark.django_db(transaction=True)
def test_two_who_roll_back_at_once_go_back_one_version(
    transactional_db: None, newer: Callable[..., ModelVersion]
) -> None:
    activate_version(version=newer("0.2.0"))
    third = newer("0.3.0")
    activate_version(version=third)
    root = factories.make_user(is_superuser=True)
    start = threading.Barrier(2)

    def press(_number: int) -> str:
        try:
            start.wait(20)
            roll_back(label_set="isic9", by=root, reason="Worse", seen=str(third.pk))
        except ConflictError:
            return "conflict"
        else:
            return "back"
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(press, range(2))) == ["back", "conflict"]
    assert active() == "0.2.0"
    assert AuditEvent.objects.filter(reason="Worse").count() == 1


@pytest.mark.django_db(transaction=True)
def test_switches_at_the_same_moment_leave_one_active(
    transactional_db: None, newer: Callable[..., ModelVersion]
) -> None:
    versions = [newer(f"0.{number}.0") for number in range(2, 6)]
    start = threading.Barrier(4)

    def switch(version: ModelVersion) -> None:
        try:
            start.wait(20)
            activate_version(version=version)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(switch, versions))
    assert ModelVersion.objects.filter(label_set="isic9", active=True).count() == 1
    events = AuditEvent.objects.filter(action="model_version.activated", details__label_set="isic9")
    # Each switch knows what it replaced: the events form one chain.
    before = [event.details["before"] for event in events.order_by("id")]
    after = [event.details["version"] for event in events.order_by("id")]
    assert before == [None, *after[:-1]]


# --- Commands ----------------------------------------------------------------------------------


def told(name: str, *arguments: str) -> str:
    """Run a command and return what it says."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def test_register_models_can_be_run_again(db: None, releases: Path, tiny_networks: Path) -> None:
    write_tiny_release(releases, tiny_networks, "isic9", "0.2.0")
    first = told("register_models")
    assert "isic9 0.1.0: registered" in first
    assert "isic9 0.2.0 answers for isic9" in first
    assert "clinical5 0.1.0 answers for clinical5" in first
    count = AuditEvent.objects.count()
    assert told("register_models").count("known") == 3
    assert AuditEvent.objects.count() == count
    # A newer release is registered but does not take over by itself.
    write_tiny_release(releases, tiny_networks, "isic9", "0.10.0")
    assert "isic9 0.10.0: registered" in told("register_models")
    assert active() == "0.2.0"


def test_register_models_says_what_is_wrong(
    db: None, releases: Path, settings: Settings, tmp_path: Path
) -> None:
    change(releases / "isic9" / "0.1.0")
    with pytest.raises(CommandError, match="was changed"):
        told("register_models")
    settings.MLCORE_RELEASES = tmp_path / "nothing"
    with pytest.raises(CommandError, match="There is no release"):
        told("register_models")


def test_activate_model_switches_and_goes_back(newer: Callable[..., ModelVersion]) -> None:
    newer("0.2.0")
    assert "isic9 0.2.0 answers for isic9" in told("activate_model", "isic9", "0.2.0")
    assert active() == "0.2.0"
    assert "isic9 0.1.0 answers for isic9" in told(
        "activate_model", "isic9", "--roll-back", "--reason", "Worse"
    )
    assert active() == "0.1.0"
    assert AuditEvent.objects.filter(reason="Worse").count() == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["isic9"], "Give a version, or --roll-back"),
        (["isic9", "0.1.0", "--roll-back"], "not both"),
        (["isic9", "9.9.9"], r"not registered \(known: 0\.1\.0\)"),
        (["isic9", "--roll-back"], "No earlier version"),
        (["isic10", "0.1.0"], "invalid choice"),
    ],
)
def test_activate_model_says_what_is_wrong(
    networks: Registered, arguments: list[str], sentence: str
) -> None:
    with pytest.raises(CommandError, match=sentence):
        told("activate_model", *arguments)
    assert active() == "0.1.0"


def test_activate_model_refuses_damaged_files(
    newer: Callable[..., ModelVersion], releases: Path
) -> None:
    newer("0.2.0")
    take_away(releases / "isic9" / "0.2.0")
    with pytest.raises(CommandError, match="is missing"):
        told("activate_model", "isic9", "0.2.0")
    assert active() == "0.1.0"


def test_a_version_belongs_to_a_label_set_we_have(db: None) -> None:
    factories.make_model_version()
    with pytest.raises(IntegrityError, match="model_label_set_valid"), transaction.atomic():
        ModelVersion.objects.update(label_set="isic10")
