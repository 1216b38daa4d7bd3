"""``docker-compose.yml``, ``Dockerfile`` and ``.env.example``: complete, closed and consistent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from skinapp.runtime.supervisor import ROOT
from tests.deploy import compose

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    "SECRET_KEY": "k" * 20 + "0123456789" * 4,
    "POSTGRES_PASSWORD": "a1b2c3d4e5f6a7b8",
    "REDIS_PASSWORD": "b1c2d3e4f5a6b7c8",
    "ALLOWED_HOSTS": "skin.hospital.example",
    "EMAIL_URL": "consolemail://",
    "DEFAULT_FROM_EMAIL": "skin@hospital.example",
}
NAMES = ("postgres", "redis", "migrate", "web", "worker", "beat")
APPLICATION = ("migrate", "web", "worker", "beat")


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose.services(ENVIRONMENT)[name]
    return found


def dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile: (name, rest)."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [
        (name, rest) for name, _space, rest in (line.partition(" ") for line in joined.split("\n"))
    ]


def check_against_schema(content: dict[str, Any], place: Path) -> tuple[int, str]:
    place.write_text(yaml.safe_dump(content), encoding="utf-8")
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "check_jsonschema"),
            *("--builtin-schema", "vendor.compose-spec", str(place)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode, answer.stdout


def test_it_is_valid_by_the_compose_specification(tmp_path: Path) -> None:
    whole = compose.raw() | {"services": compose.services(ENVIRONMENT)}
    assert check_against_schema(whole, tmp_path / "whole.yml") == (0, "ok -- validation done\n")
    # The schema does look: a word that it does not know is refused.
    whole["services"]["web"]["memory"] = "2g"
    code, words = check_against_schema(whole, tmp_path / "wrong.yml")
    assert code == 1
    assert "'memory' was unexpected" in words


def test_all_services_are_there() -> None:
    assert tuple(compose.raw()["services"]) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_service_is_bounded_and_comes_back(name: str) -> None:
    facts = service(name)
    assert re.fullmatch(r"\d+[mg]", facts["mem_limit"])
    assert facts["restart"] == ("on-failure:3" if name == "migrate" else "unless-stopped")
    assert facts["cap_drop"] == ["ALL"]
    assert facts["security_opt"] == ["no-new-privileges:true"]
    assert facts["logging"]["options"]["max-size"]
    assert "privileged" not in facts
    assert "network_mode" not in facts
    if name == "migrate":
        assert facts["healthcheck"] == {"disable": True}
    else:
        assert facts["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
        assert {"interval", "timeout", "retries", "start_period"} <= set(facts["healthcheck"])


@pytest.mark.parametrize("name", [*APPLICATION, "redis"])
def test_what_needs_no_disk_of_its_own_cannot_write_to_it(name: str) -> None:
    facts = service(name)
    assert facts["read_only"] is True
    assert "cap_add" not in facts


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_nothing_starts_before_what_it_needs(name: str) -> None:
    assert service(name)["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert service("migrate")["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_data_lies_on_named_volumes() -> None:
    whole = compose.raw()
    used = {
        volume.split(":")[0]
        for facts in whole["services"].values()
        for volume in facts.get("volumes", [])
    }
    assert used == set(whole["volumes"]) == {"postgres", "redis", "media"}
    media = next(rest for name, rest in dockerfile() if name == "ENV" and "MEDIA_ROOT" in rest)
    place = re.search(r"MEDIA_ROOT=(\S+)", media)
    assert place is not None
    for name in ("web", "worker"):
        assert f"media:{place[1]}" in service(name)["volumes"]


def test_only_web_can_be_reached_and_only_from_this_machine() -> None:
    for name in NAMES:
        ports = service(name).get("ports", [])
        assert bool(ports) == (name == "web")
        assert all(port.startswith("127.0.0.1:") for port in ports)
    assert compose.raw()["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "redis", "migrate", "worker", "beat"):
        assert service(name)["networks"] == ["inside"]


def test_images_are_pinned_by_version() -> None:
    images = {service(name)["image"] for name in NAMES}
    images |= {
        rest.removeprefix("PYTHON=")
        for name, rest in dockerfile()
        if name == "ARG" and rest.startswith("PYTHON=")
    }
    assert len(images) == 4
    for image in images:
        assert re.search(r"\d+\.\d+\.\d+", image), image
        assert "latest" not in image


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
@pytest.mark.parametrize("value", [None, ""])
def test_without_a_secret_it_refuses_in_a_sentence_of_its_own(
    missing: str, value: str | None
) -> None:
    environment = {name: each for name, each in ENVIRONMENT.items() if name != missing}
    if value is not None:
        environment[missing] = value
    with pytest.raises(compose.MissingVariableError, match=missing):
        compose.services(environment)


def test_the_example_names_every_variable_and_holds_no_secret() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    empty = {line[:-1] for line in lines if re.fullmatch(r"\w+=", line)}
    optional = {
        found[1] for line in lines if (found := re.fullmatch(r"#([A-Z_]+)=\S+", line)) is not None
    }
    wanted = compose.variables()
    assert empty == {name for name, required in wanted.items() if required} == set(ENVIRONMENT)
    assert optional == {name for name, required in wanted.items() if not required}


def test_no_secret_stands_in_the_files() -> None:
    for name, facts in compose.raw()["services"].items():
        for key, value in facts.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH|_URL", key):
                assert "${" in value, f"{name}: {key}"
        for word in facts.get("command", []):
            assert "PASSWORD" not in word
    for name, rest in dockerfile():
        if name in {"ARG", "ENV"}:
            assert not re.search("PASSWORD|SECRET|_URL", rest)


def test_the_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    steps = dockerfile()
    assert [rest.split(" AS ")[1] for name, rest in steps if name == "FROM"] == [
        "packages",
        "application",
    ]
    users = [rest for name, rest in steps if name == "USER"]
    assert users == ["10001:10001"]
    assert any(name == "HEALTHCHECK" for name, _rest in steps)
    install = next(rest for name, rest in steps if name == "RUN" and "pip install" in rest)
    assert "--require-hashes" in install
    assert "--only-binary=:all:" in install
    assert "requirements-dev" not in str(steps)
    copied = [rest.split()[:-1] for name, rest in steps if name == "COPY" and "--from" not in rest]
    for source in (each for sources in copied for each in sources):
        assert (ROOT / source).exists(), source


def test_the_build_sees_only_what_the_image_needs() -> None:
    """Everything is kept out, and then exactly what is copied is let in again."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for name, rest in dockerfile()
        if name == "COPY" and "--from" not in rest
        for source in rest.split()[:-1]
    }
    assert let_in == copied


def test_web_is_started_alike_by_the_image_and_by_compose() -> None:
    command = next(json.loads(rest) for name, rest in dockerfile() if name == "CMD")
    assert set(command) <= set(service("web")["command"])
