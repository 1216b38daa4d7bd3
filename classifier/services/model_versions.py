"""Which network answers: registering releases, switching, rolling back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from classifier.models import LabelSet, ModelVersion
from classifier.querysets.people import may_switch
from classifier.services import audit
from classifier.services.errors import ConflictError, RuleError
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
        ReleaseError: the folder does not match its manifest, or no picture could be judged with it.
        RuleError: another release of this version is registered already.
    """
    release = load_release(folder)
    _prove_usable(release)
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
    audit.record(
        action="model_version.registered",
        subject=version,
        sha256=version.artefact_sha256,
        label_set=version.label_set,
        version=version.version,
    )
    return version, True


@transaction.atomic
def activate_version(
    *, version: ModelVersion, by: User | None = None, reason: str = "", seen: str | None = None
) -> bool:
    """Let a version answer for its label set from now on.

    Args:
        version: which.
        by: who decides; None where the installation does, by a command.
        reason: why; demanded of a person.
        seen: key of the version that the person saw answering, "" where none did: if another one
            answers by now, nothing is switched. None where nobody looked.

    Returns:
        Whether this switched; False where the version answered already.

    Raises:
        RuleError: no right, no reason, or its files are missing or were changed.
        ConflictError: somebody switched since the person looked.
    """
    _check_person(by, reason)
    check_files(version)
    before = _locked_active(version.label_set)
    if before is not None and before.pk == version.pk:
        return False
    _check_seen(before, seen)
    _switch(version, before=before, by=by, reason=reason)
    return True


@transaction.atomic
def roll_back(
    *, label_set: str, by: User | None = None, reason: str = "", seen: str | None = None
) -> ModelVersion:
    """Let the version that answered before the present one answer again, and return it.

    Rolling back twice goes back two versions: what somebody rolled back from does not come back
    by itself, however often the button is pressed, but only when it is activated by name.

    Args:
        label_set: whose network.
        by: see :func:`activate_version`, likewise the others.
        reason: likewise.
        seen: likewise; two people who press at once go back one version, not two.

    Raises:
        RuleError: no right, no reason, there is no earlier one, or its files are missing or were
            changed.
        ConflictError: somebody switched since the person looked.
    """
    _check_person(by, reason)
    present = _locked_active(label_set)
    _check_seen(present, seen)
    chosen = version_before(label_set)
    if present is None or chosen is None:
        raise RuleError(_("No earlier version has been active."))
    check_files(chosen)
    _switch(chosen, before=present, by=by, reason=reason)
    # The audit trail keeps when it was active; this column only says where a roll-back leads to.
    ModelVersion.objects.filter(pk=present.pk).update(activated_at=None)
    chosen.refresh_from_db()
    return chosen


def version_before(label_set: str) -> ModelVersion | None:
    """Return the version that a roll-back would lead to, if there is one."""
    earlier = ModelVersion.objects.filter(
        label_set=label_set, active=False, activated_at__isnull=False
    )
    return earlier.order_by("-activated_at", "-registered_at").first()


def _check_person(by: User | None, reason: str) -> None:
    if by is None:
        return
    if not may_switch(by):
        raise RuleError(_("Only an administrator of the installation switches networks."))
    if not reason.strip():
        raise RuleError(_("Please give a reason."))


def _locked_active(label_set: str) -> ModelVersion | None:
    """Return the version that answers; the lock on all of its label set keeps switches in order."""
    siblings = ModelVersion.objects.select_for_update().filter(label_set=label_set)
    return next((version for version in siblings.order_by("pk") if version.active), None)


def _check_seen(present: ModelVersion | None, seen: str | None) -> None:
    if seen is not None and seen != (str(present.pk) if present else ""):
        raise ConflictError(
            _("Somebody else switched meanwhile: %(version)s answers now. Nothing was changed.")
            % {"version": present or _("none")}
        )


def _switch(
    version: ModelVersion, *, before: ModelVersion | None, by: User | None, reason: str
) -> None:
    siblings = ModelVersion.objects.filter(label_set=version.label_set)
    siblings.filter(active=True).update(active=False)
    siblings.filter(pk=version.pk).update(active=True, activated_at=timezone.now())
    audit.record(
        action="model_version.activated",
        actor=by,
        subject=version,
        reason=reason.strip(),
        label_set=version.label_set,
        version=version.version,
        before=before.version if before else None,
    )


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


def _prove_usable(release: Release) -> None:
    """Refuse a release that no picture could be judged with.

    Raises:
        ReleaseError: its gate's file is damaged, or is for another program.
    """
    from mlcore.predictor import Predictor  # noqa: PLC0415 - only whoever registers needs it

    Predictor(release)


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
    """Refuse a version whose files are not the registered ones, or are for another program.

    Raises:
        RuleError: they are missing, were changed, or cannot be used.
    """
    try:
        _prove_usable(verified_release(version))
    except ReleaseError as error:
        raise RuleError(
            _("The files of %(version)s cannot be used: %(why)s")
            % {"version": version, "why": error}
        ) from error
