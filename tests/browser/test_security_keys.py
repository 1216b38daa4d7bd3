"""A security key as the second step, with the virtual authenticator that Chromium brings along."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import Visitor, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, CDPSession

    from tests.browser.installation import Installation

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

HOLDER = "holder@demo.example"


class VirtualKey:
    """A key that touches itself, and tells whether it knows the person (by finger or PIN)."""

    def __init__(self, window: Visitor) -> None:
        self._cdp: CDPSession = window.page.context.new_cdp_session(window.page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": False,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        self._key = self._send("addVirtualAuthenticator", options=options)["authenticatorId"]

    def _send(self, what: str, **words: Any) -> Any:
        if what != "addVirtualAuthenticator":
            words["authenticatorId"] = self._key
        return self._cdp.send(f"WebAuthn.{what}", words)

    @property
    def credentials(self) -> list[dict[str, Any]]:
        """What lies on the key."""
        found: list[dict[str, Any]] = self._send("getCredentials")["credentials"]
        return found

    def empty(self) -> None:
        """Make it a key that was never registered anywhere."""
        self._send("clearCredentials")

    def fill(self, credential: dict[str, Any]) -> None:
        """Put a credential back."""
        self._send("addCredential", credential=credential)


def give_password(window: Visitor) -> None:
    """Sign in as the key's holder, as far as the password goes."""
    page = window.page
    window.go("/accounts/login/")
    page.get_by_label(re.compile("e-?mail", re.IGNORECASE)).fill(HOLDER)
    page.get_by_label("Password", exact=True).fill(window.site.password)
    page.get_by_role("button", name="Sign in").click()


def test_a_security_key_is_added_asked_for_and_removed(
    site: Installation, browser: Browser
) -> None:
    # Browsers know keys by names, not by numbers, of hosts.
    named = dataclasses.replace(site, address=site.address.replace("127.0.0.1", "localhost"))
    site.manage(
        "shell",
        "--command",
        f"""
from classifier.models import Clinic, Membership, User
user = User.objects.create_user({HOLDER!r}, {site.password!r})
Membership.objects.create(user=user, clinic=Clinic.objects.first(), role="read_only")
""",
    )
    with visitor(browser, named) as window:
        page = window.page
        key = VirtualKey(window)
        give_password(window)
        expect(page.get_by_role("heading", level=1, name="Worklist")).to_be_visible()
        window.go("/accounts/2fa/webauthn/add/")
        window.confirm()
        page.get_by_label("Name").fill("Blue key")
        page.get_by_role("button", name="Add this key").click()
        expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
        window.go("/accounts/2fa/webauthn/")
        expect(page.get_by_role("row", name=re.compile("Blue key"))).to_be_visible()
        (credential,) = key.credentials

        # The password alone opens nothing any more, nor does a key that nobody registered.
        window.go("/accounts/logout/")
        page.get_by_role("button", name="Sign out").click()
        give_password(window)
        expect(page.get_by_role("heading", name="Second step")).to_be_visible()
        key.empty()
        page.get_by_role("button", name="Use a security key").click()
        expect(page.get_by_text("That did not work.")).to_be_visible()
        window.go("/patients/")
        expect(page.get_by_role("heading", name="Second step")).to_be_visible()
        key.fill(credential)
        page.get_by_role("button", name="Use a security key").click()
        expect(page.get_by_role("heading", level=1, name="Worklist")).to_be_visible()
        # The key counts its uses; a copy of it would fall behind.
        assert key.credentials[0]["signCount"] > credential["signCount"]

        # Taking it away asks again who is there; the key itself may answer.
        window.go("/accounts/2fa/webauthn/")
        page.get_by_role("link", name=re.compile("Remove.*Blue key")).click()
        expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
        if page.get_by_label("Password", exact=True).is_visible():
            page.get_by_role("link", name=re.compile("security key", re.IGNORECASE)).click()
        page.get_by_role("button", name="Use the security key").click()
        expect(page.get_by_role("heading", name="Remove the security key")).to_be_visible()
        page.get_by_role("button", name="Remove").click()
        expect(page.get_by_text("There is no security key yet.")).to_be_visible()
        window.go("/accounts/logout/")
        page.get_by_role("button", name="Sign out").click()
        give_password(window)
        expect(page.get_by_role("heading", level=1, name="Worklist")).to_be_visible()
        assert window.problems == []
