"""Whatever is typed, pasted or forged into a form or an address, the answer is never a fault.

The forms are those of the pages themselves, read as a browser reads them, so a new form is
attacked without being named here. Every request is undone.
"""

from __future__ import annotations

import json
import re
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from classifier.choices import ImportState, RowState
from classifier.models import ImportRow, ImportRun
from classifier.services.outcomes import record_outcome
from classifier.services.readings import save_reading
from classifier.services.saved_filters import save_filter
from classifier.services.second_readings import request_second_reading
from tests import factories
from tests.factories import PASSWORD
from tests.security import cells, software_key
from tests.security.hostile import (
    NESTED,
    TOKEN,
    Attack,
    Attacker,
    attacker,
    body_of,
    fault,
    read_forms,
)
from tests.security.rules import OWN_ACCOUNT, RULES, SIGN_IN_PAGES
from tests.security.test_every_address import admin_addresses
from tests.security.test_signing_in import SECRET
from tests.web import answered as make

if TYPE_CHECKING:
    from classifier.models import User
    from tests.conftest import Cast
    from tests.security.cells import Things

pytestmark = pytest.mark.usefixtures("open_doors")
# No request takes longer, in seconds of this process alone: other work on the machine, and the
# database's, does not count.
MOST_SECONDS = 2.0
GOOD: dict[str, str] = {
    "record_number": "R-NEW",
    "name": "Somebody New",
    "label": "mole",
    "reason": "Because it must be",
    "modality": "dermoscopy",
    "diagnosis": "nevus",
    "verdict": "agree",
    "password": PASSWORD,
    "oldpassword": PASSWORD,
    "old_password": PASSWORD,
    "password1": "another correct horse",
    "password2": "another correct horse",
    "new_password1": "another correct horse",
    "new_password2": "another correct horse",
    "email": "new@north.example",
    "login": "owner@north.example",
}
# Pages of the account that take nothing a person could forge, or are shut.
WITHOUT_A_FORM = {
    *("account_confirm_email", "account_confirm_login_code", "account_email", "account_inactive"),
    *("account_email_verification_sent", "account_reset_password_done", "account_signup"),
    *("account_reset_password_from_key_done", "account_set_password", "mfa_index"),
    *("mfa_list_webauthn", "mfa_view_recovery_codes", "mfa_download_recovery_codes"),
}


def attack_all(
    someone: Attacker, addresses: dict[str, str], good: dict[str, str] | None = None
) -> tuple[set[str], list[str]]:
    """Attack every form of some pages; return where the forms went, and the faults."""
    forms = read_forms(someone, addresses)
    faults = []
    for (_goes_to, method, *_names), form in forms.items():
        if method == "post" and set(form.names) - {TOKEN}:
            faults += Attack(someone, form, GOOD | (good or {})).run()
    assert someone.slowest[0] < MOST_SECONDS, someone.slowest
    return {name for name, *_rest in forms}, faults


def checked_import(cast: Cast) -> ImportRun:
    """Return an import whose page asks what to do: one line is ready, one is refused."""
    run = ImportRun.objects.create(
        clinic=cast.clinic,
        created_by=cast.administrator,
        source_sha256="1" * 64,
        state=ImportState.CHECKED,
        archive="imports/sent.zip",
    )
    for line, state in enumerate((RowState.READY, RowState.REFUSED), start=2):
        ImportRow.objects.create(run=run, line=line, state=state)
    return run


def switches(things: Things) -> dict[str, str]:
    """Return the pages that switch networks and compare them, where there is something to do."""
    earlier = factories.make_model_version(active=False, activated_at=timezone.now())
    compare = reverse("rerun_create", args=[earlier.pk])
    return {
        "activate": reverse("model_version_activate", args=[earlier.pk]),
        "back": reverse("model_version_roll_back", args=[things.model_version.pk]),
        "compare": f"{compare}?since=2020-01-01&until={timezone.localdate()}",
    }


def filters_of_the_owner(things: Things) -> dict[str, str]:
    """Return the pages that keep, rename and remove filters, which nobody but the owner sees."""
    create = reverse("saved_filter_create")
    return {
        "filters": reverse("saved_filter_list"),
        "rename": reverse("saved_filter_rename", args=[things.saved_filter.pk]),
        "create": f"{create}?page=history&filter=label%3Dmelanoma",
    }


def remove_a_filter(someone: Attacker, user: User) -> None:
    """Remove a filter of the person's, so that the next page offers to take that back."""
    gone = save_filter(by=user, page="history", name="Gone", query={"label": "nevus"})
    client = Client()
    client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: someone.session})
    client.post(reverse("saved_filter_remove", args=[gone.pk]))


def test_no_form_of_the_clinic_takes_a_hostile_value_for_a_fault(
    cast: Cast, things: Things
) -> None:
    user = cast.administrator
    images = [make.bare_image(cast.patient, cast.owner) for _ in range(4)]
    unread, read, asked, failed = images
    analyses = {
        "unread": make.answered(unread, cast.owner, top="melanoma"),
        "read": make.answered(read, cast.owner, top="melanoma"),
        "asked": make.answered(asked, cast.owner, top="melanoma"),
        "failed": make.failed(failed, cast.owner),
    }
    for state in ("read", "asked"):
        save_reading(analysis=analyses[state], by=user, diagnosis="nevus")
    request_second_reading(analysis=analyses["asked"], by=user, asked=None)
    record_outcome(
        lesion=things.lesion,
        by=user,
        kind="follow_up",
        diagnosis="nevus",
        found_on=timezone.localdate(),
        expected_number=0,
    )
    looked_through = checked_import(cast)
    addresses = {
        name: cells.address_of(name, rule, things, user) for name, rule in RULES.items()
    } | {what: analysis.get_absolute_url() for what, analysis in analyses.items()}
    addresses["looked through"] = looked_through.get_absolute_url()
    known = {"confirmation": cast.patient.record_number, "clinic": str(cast.clinic.pk)}
    reached, faults = attack_all(attacker(cast, user), addresses, known)
    emergency = {"break_glass_create": reverse("break_glass_create")}
    known["record_number"] = cast.patient.record_number
    elsewhere, more = attack_all(attacker(cast, cast.stranger), emergency, known)
    holder = attacker(cast, cast.owner)
    remove_a_filter(holder, cast.owner)
    own, some = attack_all(holder, filters_of_the_owner(things))
    faults += some
    switching, most = attack_all(attacker(cast, cast.superuser), switches(things), known)
    assert not faults + more + most, "\n".join(faults + more + most)
    # What programs send has no form; schemathesis forges it (tests/api/test_api_schema.py).
    taking = {
        name
        for name, rule in RULES.items()
        if "post" in rule.takes and rule.who is not cells.Who.A_TOKEN
    }
    assert taking - reached - elsewhere - switching - own == set()


def test_no_form_of_the_account_takes_a_hostile_value_for_a_fault(cast: Cast) -> None:
    holder = factories.make_member(cast.clinic)
    TOTP.activate(holder, SECRET)
    key = software_key.register(holder)
    own = {
        name: reverse(name, args=[key.pk if arg == "key" else arg for arg in args])
        for name, args in (SIGN_IN_PAGES | OWN_ACCOUNT).items()
    }
    # Somebody between the password and the second step, and somebody with a letter.
    halfway = Client()
    halfway.post(reverse("account_login"), {"login": holder.email, "password": PASSWORD})
    lettered = Client()
    lettered.post(reverse("account_reset_password"), {"email": cast.colleague.email})
    letter = re.search(r"http://testserver(\S+)", str(mail.outbox[-1].body))
    assert letter
    new_password = lettered.get(letter[1])["Location"]
    reached, faults = set(), []
    for someone, addresses in (
        (attacker(cast, None), own),
        (attacker(cast, cast.owner), own),
        (attacker(cast, holder), own),
        (Attacker(halfway.session.session_key or ""), {"": reverse("mfa_authenticate")}),
        (Attacker(lettered.session.session_key or ""), {"": new_password}),
    ):
        found, wrong = attack_all(someone, addresses)
        reached |= found
        faults += wrong
    assert not faults, "\n".join(faults)
    pages = set(SIGN_IN_PAGES | OWN_ACCOUNT)
    assert pages - reached - WITHOUT_A_FORM == set()


CREDENTIALS = (
    "null",
    "[]",
    '"x"',
    "7",
    "{}",
    '{"response": null}',
    '{"id": 1, "rawId": [], "type": {}, "response": "x"}',
    '{"id": "\\ud800", "rawId": "\\ud800", "type": "public-key", "response": {}}',
    *(
        json.dumps(
            {
                "id": "eA",
                "rawId": "eA",
                "type": "public-key",
                "clientExtensionResults": extensions,
                "response": {
                    "clientDataJSON": data,
                    "attestationObject": attested,
                    "authenticatorData": attested,
                    "signature": signature,
                    "userHandle": signature,
                },
            }
        )
        for extensions, data, attested, signature in (
            ({}, "", "", ""),
            ([], "e30", "oA", "eA"),
            ({"credProps": 1}, "bnVsbA", "_w", "!"),
            (None, "W10", "o2NmbXRkbm9uZWdhdHRTdG10oGhhdXRoRGF0YUA", "====="),
            ({}, "eyJ0eXBlIjoieCIsImNoYWxsZW5nZSI6MSwib3JpZ2luIjoxfQ", "n" * 4_000, "eA"),
            ({}, "\ud800", [1], {"a": None}),
        )
    ),
)


def test_no_forged_key_of_the_second_step_is_a_fault(cast: Cast) -> None:
    holder = factories.make_member(cast.clinic)
    software_key.register(holder)
    halfway = Client()
    halfway.post(reverse("account_login"), {"login": holder.email, "password": PASSWORD})
    faults = []
    for someone, name in (
        (attacker(cast, cast.owner), "mfa_add_webauthn"),
        (attacker(cast, holder), "mfa_reauthenticate_webauthn"),
        (Attacker(halfway.session.session_key or ""), "mfa_authenticate"),
    ):
        # The page leaves the challenge in the session; the answers to it are undone one by one.
        client = Client()
        client.cookies = SimpleCookie({settings.SESSION_COOKIE_NAME: someone.session})
        assert client.get(reverse(name)).status_code == 200
        for credential in (*CREDENTIALS, NESTED):
            body = body_of({"name": "Key", "credential": credential})
            answer = someone.ask("POST", reverse(name), body)
            if wrong := fault(answer):
                faults.append(f"{name} {credential[:90]}: {wrong}")
            signed_in = "_auth_user_id" in client.session
            assert signed_in == (name != "mfa_authenticate")
    assert not faults, "\n".join(faults)


def test_no_form_of_the_admin_panel_takes_a_hostile_value_for_a_fault(
    cast: Cast, things: Things
) -> None:
    known = {"user": str(cast.owner.pk), "clinic": str(cast.other_clinic.pk)}
    someone = attacker(cast, cast.superuser)
    _reached, faults = attack_all(someone, admin_addresses(things), known)
    assert not faults, "\n".join(faults)
