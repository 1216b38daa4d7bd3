"""Patients and their lesions."""

import uuid
from typing import ClassVar

import pgtrigger
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from classifier.choices import BodySite, Sex, SkinType, label_of
from classifier.models.history import versioned
from classifier.models.people import Clinic, User
from classifier.querysets.records import ClinicOwnedQuerySet

# So many patients are told by their keys.
_FEW = 200
# Of shorter words PostgreSQL has no trigram but at the beginning of a word.
_SHORT = 2


class Folded(models.Func):
    """Text without case and accents, for comparing: "Müller" and "MULLER" are the same.

    The database function of this name is made by the migration ``0002_patient_search``; both
    sides of a comparison go through it, so that an index on it serves the search.
    """

    function = "skinapp_folded"
    arity = 1
    output_field = models.TextField()


# The words of a patient, each with a space before it. A name of ligatures may grow twentyfold, and
# an index takes no row of more than 2,700 bytes: nobody looks for what comes after 450 letters.
SEARCH_TEXT = "left(skinapp_folded(' ' || {row}.name || ' ' || {row}.record_number), 450)"


class PatientQuerySet(ClinicOwnedQuerySet["Patient"]):
    """Patients, seen from a person."""

    def matching(self, text: str) -> "PatientQuerySet":
        """Return the patients whose name or record number contains every word of ``text``.

        Neither case nor accents count. A word of one or two letters must begin a name or a number:
        it is in half of all names, and no index finds it inside of one.
        """
        found = self.all()
        for word in text.split():
            part = word if len(word) > _SHORT else f" {word}"
            found = found.filter(search_text__contains=Folded(models.Value(part)))
        return found

    def few_keys(self) -> "list[uuid.UUID] | None":
        """Return the keys of these patients where they are few, and None where they are many.

        Few are then looked up by key, instead of being looked for in each clinic again; of many
        some turn up soon in whatever order.
        """
        keys = list(self.order_by().values_list("pk", flat=True)[: _FEW + 1])
        return keys if len(keys) <= _FEW else None


@versioned("PatientEvent", patient="OLD.pgh_obj_id", exclude=("search_text",))
class Patient(models.Model):
    """A person in a clinic's care."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(
        Clinic, on_delete=models.PROTECT, related_name="patients", verbose_name=_("clinic")
    )
    record_number = models.CharField(_("medical record number"), max_length=64)
    name = models.CharField(_("name"), max_length=200)
    date_of_birth = models.DateField(_("date of birth"), null=True, blank=True)
    sex = models.CharField(_("sex"), max_length=10, choices=Sex.choices, default=Sex.UNKNOWN)
    skin_type = models.CharField(
        _("skin type (Fitzpatrick)"),
        max_length=10,
        choices=SkinType.choices,
        default=SkinType.UNKNOWN,
    )
    notes = models.TextField(_("notes"), blank=True, max_length=10_000)
    # What ``matching`` looks in; kept by the database, whoever writes the row. Folding a name
    # takes 10 µs, which a search over thousands of them would pay anew each time.
    search_text = models.TextField(editable=False, default="", db_default="")
    archived = models.BooleanField(_("archived"), default=False)
    created_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="+", verbose_name=_("registered by")
    )
    created_at = models.DateTimeField(_("registered at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed at"), auto_now=True)

    objects = PatientQuerySet.as_manager()

    class Meta:
        verbose_name = _("patient")
        verbose_name_plural = _("patients")
        ordering = ("name", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("clinic", "record_number"),
                name="patient_record_number_unique",
                violation_error_message=_("This clinic already has a patient with this number."),
            ),
            models.CheckConstraint(
                condition=~models.Q(record_number="") & ~models.Q(name=""),
                name="patient_named",
            ),
            models.CheckConstraint(
                condition=models.Q(sex__in=Sex.values), name="patient_sex_valid"
            ),
            models.CheckConstraint(
                condition=models.Q(skin_type__in=SkinType.values), name="patient_skin_type_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            # A clinic's list by name, and a search for a name that many have, which reads as much
            # of the list as it takes to fill a page: from the index alone, a sixth of the time.
            models.Index(
                fields=("clinic", "name", "id"),
                include=("search_text", "archived"),
                name="patient_clinic_search",
            ),
            # The same over all clinics, for the admin panel.
            models.Index(fields=("name", "id"), name="patient_by_name"),
            # For ``matching``: LIKE '%word%'.
            GinIndex(OpClass("search_text", name="gin_trgm_ops"), name="patient_search"),
        ]
        triggers: ClassVar[list[pgtrigger.Trigger]] = [
            pgtrigger.Trigger(
                name="patient_search_text",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func=f"NEW.search_text := {SEARCH_TEXT.format(row='NEW')}; RETURN NEW;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.record_number})"

    def get_absolute_url(self) -> str:
        """Return the address of the patient's page."""
        return reverse("patient_detail", args=[self.pk])


class LesionQuerySet(ClinicOwnedQuerySet["Lesion"]):
    """Lesions, seen from a person."""


@versioned("LesionEvent", patient="OLD.patient_id")
class Lesion(models.Model):
    """One spot on one patient, photographed any number of times."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    clinic = models.ForeignKey(Clinic, on_delete=models.PROTECT, related_name="+")
    patient = models.ForeignKey(
        Patient, on_delete=models.PROTECT, related_name="lesions", verbose_name=_("patient")
    )
    label = models.CharField(
        _("label"), max_length=100, help_text=_("What the team calls it: “mole left of the spine”.")
    )
    body_site = models.CharField(
        _("body site"), max_length=20, choices=BodySite.choices, default=BodySite.UNKNOWN
    )
    first_seen = models.DateField(_("first seen"), null=True, blank=True)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    objects = LesionQuerySet.as_manager()

    class Meta:
        verbose_name = _("lesion")
        verbose_name_plural = _("lesions")
        ordering = ("created_at", "id")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(
                fields=("patient", "label"),
                name="lesion_label_unique",
                violation_error_message=_("This patient already has a lesion of this label."),
            ),
            models.CheckConstraint(
                condition=models.Q(body_site__in=BodySite.values), name="lesion_site_valid"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=("created_at", "id"), name="lesion_oldest"),
            models.Index(fields=("body_site", "created_at", "id"), name="lesion_of_site"),
        ]

    def __str__(self) -> str:
        return f"{self.label} · {self.get_body_site_display()}"

    def get_absolute_url(self) -> str:
        """Return the address of the lesion's page."""
        return reverse("lesion_detail", args=[self.pk])

    def get_body_site_display(self) -> str:  # type: ignore[no-redef]  # Django makes none then
        """Return how the body site is shown; a list asks it of every row."""
        return label_of(BodySite, self.body_site)
