"""Which network answers: registering releases, switching, rolling back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.models import LabelSet, ModelVersion
from classifier.services import audit
from classifier.services.errors import RuleError
from mlcore.bundle import ReleaseError, load_release

if TYPE_CHECKING:
    from classifier.models import User
    from mlcore.bundle import Release


@transaction.atomic
def register_release(*, folder: Path) -> tuple[ModelVersion, bool]:
    """Verify a release folder and make it known; the same release twice is one version.

    Returns:
        The version, and whether it is new.

    Raises:
        ReleaseError: the folder does not match its manifest.
        RuleError: another release of this version is registered already.
    """
    release = load_release(folder)
    known = ModelVersion.objects.filter(artefact_sha256=release.artefact_sha256)
    if (version := known.first()) is not None:
        return version, False
    try:
        with transaction.atomic():
            version = ModelVersion.objects.create(
                label_set=LabelSet(release.key),
                version=release.version,
                artefact_sha256=release.artefact_sha256,
                manifest=release.manifest,
                metrics=release.metrics(),
            )
    except IntegrityError as error:
        # Somebody registered the same release at this moment, or another one of this version ever.
        if (version := known.first()) is not None:
            return version, False
        raise RuleError(
            _("%(key)s %(version)s is registered with other files. Give the release a new version.")
            % {"key": release.key, "version": release.version}
        ) from error
    audit.record(action="model_version.registered", subject=version, sha256=version.artefact_sha256)
    return version, True


@transaction.atomic
def activate_version(*, version: ModelVersion, by: User | None = None) -> None:
    """Let a version answer for its label set from now on.

    Raises:
        RuleError: its files are missing or were changed.
    """
    check_files(version)
    # The lock on every version of the label set keeps two switches in order.
    siblings = ModelVersion.objects.select_for_update().filter(label_set=version.label_set)
    before = next((other for other in siblings.order_by("pk") if other.active), None)
    if before is not None and before.pk == version.pk:
        return
    siblings.filter(active=True).update(active=False)
    siblings.filter(pk=version.pk).update(active=True, activated_at=timezone.now())
    audit.record(
        action="model_version.activated",
        actor=by,
        subject=version,
        label_set=version.label_set,
        version=version.version,
        before=before.version if before else None,
    )


@transaction.atomic
def roll_back(*, label_set: str, by: User | None = None) -> ModelVersion:
    """Let the version that answered before the present one answer again, and return it.

    Rolling back twice goes back two versions: what somebody rolled back from does not come back
    by itself, however often the button is pressed, but only when it is activated by name.

    Raises:
        RuleError: there is no earlier one, or its files are missing or were changed.
    """
    siblings = list(
        ModelVersion.objects.select_for_update().filter(label_set=label_set).order_by("pk")
    )
    present = next((version for version in siblings if version.active), None)
    earlier = [version for version in siblings if version.activated_at and not version.active]
    if present is None or not earlier:
        raise RuleError(_("No earlier version has been active."))
    chosen = max(earlier, key=lambda version: version.activated_at or version.registered_at)
    activate_version(version=chosen, by=by)
    # The audit trail keeps when it was active; this column only says where a roll-back leads to.
    ModelVersion.objects.filter(pk=present.pk).update(activated_at=None)
    chosen.refresh_from_db()
    return chosen


def release_folder(version: ModelVersion) -> Path:
    """Return where the version's files should lie."""
    return Path(settings.MLCORE_RELEASES) / version.label_set / version.version


def verified_release(version: ModelVersion) -> Release:
    """Return the version's release after checking every hash.

    Raises:
        ReleaseError: files are missing or were changed, or are another release's.
    """
    release = load_release(release_folder(version))
    if release.artefact_sha256 != version.artefact_sha256:
        msg = f"{release.folder} is not the release that was registered as {version}."
        raise ReleaseError(msg)
    return release


def measured_facts(*, version: ModelVersion) -> dict[str, Any]:
    """Return what was measured of a version: ``figures`` by split and the training's ``history``.

    They are registered with it; a version without them is looked up in its release's folder.

    Raises:
        RuleError: they are not registered, and the folder's files are missing or were changed.
    """
    if version.metrics:
        registered: dict[str, Any] = version.metrics
        return registered
    try:
        return verified_release(version).metrics()
    except ReleaseError as error:
        raise RuleError(
            _(
                "No figures are registered with this release, and its files are missing or were "
                "changed. Ask an administrator to put the release's folder back."
            )
        ) from error


def check_files(version: ModelVersion) -> None:
    """Refuse a version whose files are not the registered ones.

    Raises:
        RuleError: they are missing or were changed.
    """
    try:
        verified_release(version)
    except ReleaseError as error:
        raise RuleError(
            _("The files of %(version)s cannot be used: %(why)s")
            % {"version": version, "why": error}
        ) from error
