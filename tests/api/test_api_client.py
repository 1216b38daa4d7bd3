"""The client of docs/api.md, as it stands there, against a live server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from classifier.choices import State
from classifier.models import Analysis, Patient
from tests import factories
from tests.api.programs import program_of
from tests.api.test_api_visit import a_file

if TYPE_CHECKING:
    from pytest_django.live_server_helper import LiveServer

DOCS = Path(__file__).resolve().parents[2] / "docs" / "api.md"


@pytest.mark.django_db(transaction=True)
def test_the_documented_client(
    live_server: LiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
    names: dict[str, Any] = {}
    exec(compile(text, "docs/api.md", "exec"), names)  # noqa: S102 - the documentation's own text
    clinic = factories.make_clinic(blinded_first=False)
    owner = factories.make_member(clinic)
    monkeypatch.setenv("SKINAPP_URL", live_server.url)
    monkeypatch.setenv("SKINAPP_TOKEN", program_of(owner, clinic).text)
    client = names["Skinapp"]()
    picture = tmp_path / "picture.png"
    picture.write_bytes(a_file().read())

    def finished(analysis: str, seconds: float = 120) -> Any:
        # No worker runs here: the analysis is called off while the client waits for it.
        Analysis.objects.filter(pk=analysis).update(
            state=State.CANCELLED, finished_at=timezone.now()
        )
        return type(client).wait(client, analysis, seconds)

    monkeypatch.setattr(client, "wait", finished)
    result = names["visit"](client, picture, "MRN-77", "Grace Other")
    assert (result["analysis"]["state"], result["answer"]) == ("cancelled", None)
    assert Patient.objects.get().name == "Grace Other"
    for number in range(3):
        factories.make_patient(clinic, owner, name=f"Number {number}")
    listed = [row["name"] for row in client.pages("/patients", limit=2)]
    assert listed == ["Grace Other", "Number 0", "Number 1", "Number 2"]
    with pytest.raises(names["Refused"], match="422: This clinic already has a patient"):
        names["visit"](client, picture, "MRN-77", "Grace Other")
    other = names["Skinapp"](token="skinapp_nothing")
    with pytest.raises(names["Refused"], match="401"):
        other.get("/token")
