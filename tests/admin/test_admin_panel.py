"""The admin panel: who enters, what it lists and what it must not be able to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from classifier.admin.base import ReadOnlyAdmin
from classifier.choices import Role, State
from classifier.models import (
    Analysis,
    AuditEvent,
    Clinic,
    Image,
    Lesion,
    Membership,
    ModelVersion,
    Patient,
    Prediction,
    Reading,
    Review,
    User,
)
from tests import factories
from tests.security.hostile import forms_of

if TYPE_CHECKING:
    from django.db.models import Model
    from django.test import Client

    from tests.conftest import Cast

OURS = [model for model in admin.site._registry if model._meta.app_label == "classifier"]
UNALTERABLE = [Image, Lesion, Analysis, Prediction, Reading, Review, ModelVersion, AuditEvent]


@pytest.fixture
def root(cast: Cast) -> Client:
    """Return the superuser's browser."""
    return cast.client_of(cast.superuser)


def failed_analysis(cast: Cast) -> Analysis:
    """Make an analysis that failed for good."""
    image = factories.make_image(cast.patient, cast.owner)
    return factories.make_analysis(
        image,
        cast.owner,
        state=State.FAILED,
        attempt=3,
        finished_at=timezone.now(),
        failure_code="network_error",
        failure_reference="abc123",
    )


def list_url(model: type[Model]) -> str:
    """Return the address of a model's list."""
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@pytest.mark.parametrize("model", UNALTERABLE, ids=lambda model: model.__name__)
def test_facts_cannot_be_added_changed_or_deleted(
    root: Client, cast: Cast, model: type[Model]
) -> None:
    model_admin = admin.site._registry[model]
    assert isinstance(model_admin, ReadOnlyAdmin)
    analysis = failed_analysis(cast)
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert root.get(reverse(f"{name}_add")).status_code == 403
    if model is Analysis:
        url = reverse(f"{name}_change", args=[analysis.pk])
        assert root.get(url).status_code == 200
        assert root.post(url, {"state": State.SUCCEEDED}).status_code == 403
        assert root.post(reverse(f"{name}_delete", args=[analysis.pk])).status_code == 403
        analysis.refresh_from_db()
        assert analysis.state == State.FAILED


def test_no_record_can_be_deleted_in_bulk(root: Client, cast: Cast) -> None:
    for model in OURS:
        if model is Membership:
            continue
        page = root.get(list_url(model)).content.decode()
        assert 'value="delete_selected"' not in page, model


@pytest.mark.parametrize("who", ["owner", "read_only", "administrator", "stranger"])
def test_only_staff_enters(cast: Cast, who: str) -> None:
    response = cast.client_of(getattr(cast, who)).get(reverse("admin:index"))
    assert response.status_code in {302, 403}


def test_the_admin_panel_has_no_sign_in_page_of_its_own(client: Client, db: None) -> None:
    response = client.get(reverse("admin:login"), follow=True)
    assert response.redirect_chain
    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_a_retry_demands_a_reason_and_leaves_a_trace(root: Client, cast: Cast) -> None:
    analysis = failed_analysis(cast)
    post = {"action": "retry", "_selected_action": str(analysis.pk)}
    page = root.post(list_url(Analysis), post)
    assert page.status_code == 200
    assert "Reason" in page.content.decode()
    analysis.refresh_from_db()
    assert analysis.state == State.FAILED

    root.post(list_url(Analysis), post | {"confirmed": "1", "reason": ""})
    analysis.refresh_from_db()
    assert analysis.state == State.FAILED

    root.post(list_url(Analysis), post | {"confirmed": "1", "reason": "New disk installed"})
    analysis.refresh_from_db()
    assert analysis.state == State.QUEUED
    move = analysis.transitions.get(to_state=State.QUEUED)
    assert (move.actor, move.reason) == (cast.superuser, "New disk installed")
    assert AuditEvent.objects.filter(
        subject_id=str(analysis.pk), reason="New disk installed", actor=cast.superuser
    ).exists()


def test_a_cancel_demands_a_reason(root: Client, cast: Cast) -> None:
    analysis = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    post = {"action": "cancel", "_selected_action": str(analysis.pk)}
    root.post(list_url(Analysis), post | {"confirmed": "1", "reason": "Wrong patient"})
    analysis.refresh_from_db()
    assert analysis.state == State.CANCELLED


def test_an_illegal_retry_is_explained_and_changes_nothing(root: Client, cast: Cast) -> None:
    analysis = factories.make_analysis(factories.make_image(cast.patient, cast.owner), cast.owner)
    post = {"action": "retry", "_selected_action": str(analysis.pk), "confirmed": "1"}
    page = root.post(list_url(Analysis), post | {"reason": "Why not"}, follow=True)
    assert str(analysis.pk) in page.content.decode()
    analysis.refresh_from_db()
    assert analysis.state == State.QUEUED


def test_staff_without_the_change_permission_is_not_offered_the_moves(cast: Cast) -> None:
    from django.contrib.auth.models import Permission

    helper = factories.make_user("helper@skinapp.example", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_analysis"))
    failed_analysis(cast)
    page = cast.client_of(helper).get(list_url(Analysis)).content.decode()
    assert 'value="retry"' not in page
    assert 'value="cancel"' not in page


def test_two_versions_of_one_label_set_cannot_both_be_activated(root: Client) -> None:
    old = factories.make_model_version()
    one, two = (factories.make_model_version(active=False) for _ in range(2))
    post = {"action": "activate", "_selected_action": [str(one.pk), str(two.pk)]}
    page = root.post(list_url(ModelVersion), post, follow=True)
    assert "Choose one version" in page.content.decode()
    old.refresh_from_db()
    assert old.active


def test_a_new_person_is_made_and_audited_without_the_password(root: Client, cast: Cast) -> None:
    url = reverse("admin:classifier_user_add")
    password = "a long enough pass phrase 7"
    inline = {
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    facts = {"email": "New.Person@North.example", "password1": password, "password2": password}
    response = root.post(url, facts | inline)
    assert response.status_code == 302, response.content.decode()
    user = User.objects.get(email__iexact="new.person@north.example")
    assert user.check_password(password)
    event = AuditEvent.objects.get(action="user.created")
    assert event.actor == cast.superuser
    assert password not in str(event.details)


def test_a_large_department_can_be_changed(root: Client, cast: Cast) -> None:
    for number in range(60):
        person = factories.make_user(f"{number}@north.example")
        Membership.objects.create(user=person, clinic=cast.clinic, role=Role.CLINICIAN)
    url = reverse("admin:classifier_clinic_change", args=[cast.clinic.pk])
    forms = forms_of(root.get(url).content.decode())
    page = next(form for form in forms if "retention_years" in form.fields)
    response = root.post(url, {**page.fields, "retention_years": "10"})
    assert response.status_code == 302, response.content.decode()
    cast.clinic.refresh_from_db()
    assert cast.clinic.retention_years == 10
    assert cast.clinic.memberships.count() > 60


def test_a_membership_is_granted_and_revoked_with_a_trace(root: Client, cast: Cast) -> None:
    person = factories.make_user("temp@north.example")
    url = reverse("admin:classifier_membership_add")
    root.post(url, {"user": str(person.pk), "clinic": str(cast.clinic.pk), "role": Role.READ_ONLY})
    membership = Membership.objects.get(user=person)
    root.post(reverse("admin:classifier_membership_delete", args=[membership.pk]), {"post": "yes"})
    assert not Membership.objects.filter(user=person).exists()
    assert AuditEvent.objects.filter(action="membership.revoked").exists()


def test_a_membership_taken_away_on_the_clinics_page_is_named_in_the_trail(
    root: Client, cast: Cast
) -> None:
    membership = Membership.objects.get(user=cast.colleague)
    clinic = Clinic.objects.filter(pk=cast.clinic.pk)
    others = Membership.objects.filter(clinic=cast.clinic).exclude(pk=membership.pk)
    others.delete()
    facts = {
        "name": cast.clinic.name,
        "blinded_first": "on",
        "urgent_first": "on",
        "memberships-TOTAL_FORMS": "1",
        "memberships-INITIAL_FORMS": "1",
        "memberships-0-id": str(membership.pk),
        "memberships-0-clinic": str(cast.clinic.pk),
        "memberships-0-user": str(cast.colleague.pk),
        "memberships-0-role": Role.CLINICIAN,
        "memberships-0-DELETE": "on",
    }
    page = root.post(reverse("admin:classifier_clinic_change", args=[cast.clinic.pk]), facts)
    assert page.status_code == 302, page.content.decode()
    assert clinic.exists()
    assert not Membership.objects.filter(pk=membership.pk).exists()
    event = AuditEvent.objects.get(action="membership.revoked")
    assert event.subject_id == str(membership.pk)
    assert event.details == {"user": str(cast.colleague.pk), "role": Role.CLINICIAN}


def test_setting_somebodys_password_leaves_a_trace(root: Client, cast: Cast) -> None:
    url = reverse("admin:auth_user_password_change", args=[cast.owner.pk])
    password = "a long enough pass phrase 7"
    root.post(url, {"password1": password, "password2": "another", "usable_password": "true"})
    assert not AuditEvent.objects.exists()
    facts = {"password1": password, "password2": password, "usable_password": "true"}
    assert root.post(url, facts).status_code == 302
    cast.owner.refresh_from_db()
    assert cast.owner.check_password(password)
    event = AuditEvent.objects.get(action="user.password_set")
    assert (event.actor, event.subject_id) == (cast.superuser, str(cast.owner.pk))
    assert password not in str(event.details)


def test_who_manages_people_cannot_rise_by_it(cast: Cast) -> None:
    clerk = factories.make_user("clerk@north.example", is_staff=True)
    clerk.user_permissions.set(Permission.objects.filter(codename="change_user"))
    client = cast.client_of(clerk)
    facts = {
        "email": clerk.email,
        "first_name": "Cleo",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "groups": [str(Group.objects.create(name="everything").pk)],
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    page = client.post(reverse("admin:classifier_user_change", args=[clerk.pk]), facts)
    assert page.status_code == 302, page.content.decode()
    clerk.refresh_from_db()
    assert (clerk.first_name, clerk.is_superuser, clerk.groups.count()) == ("Cleo", False, 0)
    password = {"password1": "a long enough pass phrase 7", "usable_password": "true"}
    password |= {"password2": password["password1"]}
    above = reverse("admin:auth_user_password_change", args=[cast.superuser.pk])
    assert client.post(above, password).status_code == 403
    beside = reverse("admin:auth_user_password_change", args=[cast.owner.pk])
    assert client.post(beside, password).status_code == 302
    cast.superuser.refresh_from_db()
    assert cast.superuser.check_password(factories.PASSWORD)


def test_an_address_given_up_opens_nothing(root: Client, cast: Cast, client: Client) -> None:
    old = cast.owner.email
    EmailAddress.objects.create(user=cast.owner, email=old, primary=True, verified=True)
    facts = {
        "email": "married@north.example",
        "first_name": "",
        "last_name": "",
        "is_active": "on",
        "memberships-TOTAL_FORMS": "0",
        "memberships-INITIAL_FORMS": "0",
    }
    page = root.post(reverse("admin:classifier_user_change", args=[cast.owner.pk]), facts)
    assert page.status_code == 302, page.content.decode()
    client.post("/accounts/password/reset/", {"email": old})
    client.post("/accounts/login/", {"login": old, "password": factories.PASSWORD})
    assert mail.outbox == []
    assert "_auth_user_id" not in client.session
    client.post("/accounts/login/", {"login": facts["email"], "password": factories.PASSWORD})
    assert client.session["_auth_user_id"] == str(cast.owner.pk)


def test_the_panel_keeps_no_second_list_of_addresses() -> None:
    assert not admin.site.is_registered(EmailAddress)


def test_what_the_panel_says_of_a_patient_is_in_no_cookie(root: Client, cast: Cast) -> None:
    facts = {
        "record_number": cast.patient.record_number,
        "name": "Ada Corrected",
        "sex": "female",
        "skin_type": "II",
        "notes": "",
        "date_of_birth": "",
    }
    url = reverse("admin:classifier_patient_change", args=[cast.patient.pk])
    answer = root.post(url, facts)
    assert answer.status_code == 302
    assert set(answer.cookies) <= {settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME}
    assert "Ada Corrected" in root.get(answer["Location"]).content.decode()


def test_a_patients_clinic_cannot_be_changed(root: Client, cast: Cast) -> None:
    url = reverse("admin:classifier_patient_change", args=[cast.patient.pk])
    facts = {
        "clinic": str(cast.other_clinic.pk),
        "record_number": cast.patient.record_number,
        "name": "Ada Corrected",
        "sex": "female",
        "skin_type": "II",
        "notes": "",
        "date_of_birth": "",
    }
    assert root.post(url, facts).status_code == 302
    patient = Patient.objects.get(pk=cast.patient.pk)
    assert (patient.name, patient.clinic) == ("Ada Corrected", cast.clinic)
    event = AuditEvent.objects.get(action="patient.changed_in_admin")
    assert "Ada" not in str(event.details)


def test_every_admin_class_of_ours_has_the_safe_base() -> None:
    from classifier.admin.base import CappedPaginator

    for model in OURS:
        model_admin = admin.site._registry[model]
        assert model_admin.paginator is CappedPaginator, model
        assert model_admin.show_full_result_count is False, model
    assert Group in admin.site._registry
