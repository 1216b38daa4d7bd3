"""The API's operations: how to ask for each, and what it takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

READ, SEND, BOTH = ("get",), ("post",), ("get", "post")


@dataclass(frozen=True)
class OneOperation:
    """One address of the API.

    Attributes:
        args: names of things (see ``cells.Things``) for the address.
        takes: the methods that it knows.
        scopes: the scope that each method demands; "" for none.
        body: what is posted.
    """

    args: tuple[str, ...] = ()
    takes: tuple[str, ...] = READ
    scopes: dict[str, str] = field(default_factory=lambda: {"get": "read"})
    body: dict[str, Any] = field(default_factory=dict)


_UPLOAD = {"get": "read", "post": "upload"}
OPERATIONS: dict[str, OneOperation] = {
    "api:token": OneOperation(scopes={"get": ""}),
    "api:patients": OneOperation(
        takes=BOTH, scopes=_UPLOAD, body={"record_number": "MRN-X", "name": "Grace Other"}
    ),
    "api:patient": OneOperation(("patient",)),
    "api:lesions": OneOperation(("patient",), BOTH, _UPLOAD, {"label": "mole"}),
    "api:image_upload": OneOperation(("patient",), BOTH, _UPLOAD),
    "api:analysis": OneOperation(("analysis",)),
    "api:result": OneOperation(("analysis",)),
    "api:reading": OneOperation(("analysis",), SEND, {"post": "review"}, {"diagnosis": "nevus"}),
    "api:reviews": OneOperation(
        ("analysis",), SEND, {"post": "review"}, {"verdict": "defer", "expected_number": 0}
    ),
    "api:register": OneOperation(scopes={"get": "export"}),
    "api:models": OneOperation(),
    "api:model": OneOperation(("model_version",)),
}
