"""A program with a token, as tests use it."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.test import Client

from classifier.choices import Scope
from classifier.services.tokens import create_token

if TYPE_CHECKING:
    from classifier.models import ApiToken, Clinic, User

ROOT = "/api/v1"


@dataclass
class Program:
    """Sends requests with a token and nothing else: no cookie, no form's token."""

    text: str
    token: ApiToken | None = None
    client: Client = field(default_factory=lambda: Client(enforce_csrf_checks=True))

    def get(self, path: str, **query: Any) -> Any:
        """Ask for something."""
        return self.client.get(ROOT + path, query, headers=self._headers())

    def post(self, path: str, body: Any, *, key: str = "") -> Any:
        """Send JSON."""
        return self.client.post(
            ROOT + path,
            json.dumps(body),
            content_type="application/json",
            headers=self._headers() | ({"Idempotency-Key": key} if key else {}),
        )

    def send(self, path: str, *, key: str = "", **fields: Any) -> Any:
        """Send a form with a file."""
        return self.client.post(
            ROOT + path,
            fields,
            headers=self._headers() | ({"Idempotency-Key": key} if key else {}),
        )

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


def program_of(
    user: User, clinic: Clinic, *scopes: str, days: int = 30, name: str = "Practice software"
) -> Program:
    """Make a token of the user; with all scopes that the role allows unless some are named."""
    wanted = scopes or tuple(Scope.values)
    token, text = create_token(
        by=user, clinic=clinic, name=name, scopes=wanted, days=days, key=uuid.uuid4()
    )
    return Program(text, token)


def told(response: Any, status: int = 200) -> Any:
    """Return the JSON of an answer with this status; a refusal must be a problem."""
    assert response.status_code == status, (response.status_code, response.content)
    facts = response.json()
    if status >= 400:
        assert response["Content-Type"] == "application/problem+json"
        assert facts["status"] == status
        assert facts["detail"]
        assert facts["reference"] == response["X-Reference"]
    return facts
