"""A security key made of software, for tests that need one that was registered."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric import ec
from fido2.cose import ES256
from fido2.utils import websafe_encode
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

if TYPE_CHECKING:
    from classifier.models import User


def register(user: User, *, host: str = "testserver") -> Authenticator:
    """Store a key of ``user`` as if a browser at ``host`` had registered it."""
    identifier = os.urandom(32)
    make_public: Any = ES256.from_cryptography_key
    public = make_public(ec.generate_private_key(ec.SECP256R1()).public_key())
    data = AuthenticatorData.create(
        hashlib.sha256(host.encode()).digest(),
        AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.AT,
        1,
        AttestedCredentialData.create(b"\0" * 16, identifier, public),
    )
    said = {"type": "webauthn.create", "challenge": "eA", "origin": f"http://{host}"}
    credential = {
        "id": websafe_encode(identifier),
        "rawId": websafe_encode(identifier),
        "type": "public-key",
        "clientExtensionResults": {},
        "response": {
            "clientDataJSON": websafe_encode(json.dumps(said).encode()),
            "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
        },
    }
    factor: Authenticator = Authenticator.objects.create(
        user=user, type="webauthn", data={"name": "Key", "credential": credential}
    )
    return factor
