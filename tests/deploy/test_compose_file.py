"""``docker-compose.yml``, ``Dockerfile`` and ``.env.example``: complete, closed and consistent."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2
import psycopg2.extensions
import pytest
import yaml

from skinapp.runtime.supervisor import ROOT
from tests.deploy import compose

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    "ALLOWED_HOSTS": "skin.hospital.example",
    "EMAIL_URL": "consolemail://",
    "DEFAULT_FROM_EMAIL": "skin@hospital.example",
}
BUCKET = {"MEDIA_S3_BUCKET": "skin-images"}
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
    for more in ((), (compose.OBJECT_STORE,), (compose.WEBHOOKS,)):
        whole = compose.raw(*more)
        whole["services"] = compose.services(ENVIRONMENT | BUCKET, *more)
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
        found[1]
        for line in lines
        if (found := re.fullmatch(r"#([A-Z0-9_]+)=\S+", line)) is not None
    }
    wanted = compose.variables()
    assert empty == {name for name, required in wanted.items() if required} == set(ENVIRONMENT)
    stored = compose.variables(compose.OBJECT_STORE)
    assert {name for name, required in stored.items() if required} == set(BUCKET)
    sending = compose.variables(compose.WEBHOOKS)
    assert not any(sending.values())
    more = {name for name, required in wanted.items() if not required} | set(stored) | set(sending)
    assert optional == more | {"COMPOSE_FILE"}


def test_what_the_documents_tell_an_operator_to_set_reaches_the_containers() -> None:
    settings = "".join(p.read_text("utf-8") for p in (ROOT / "skinapp" / "settings").glob("*.py"))
    read = set(re.findall(r'env(?:\.\w+)?\(\s*"([A-Z][A-Z0-9_]+)"', settings))
    assert len(read) > 50
    words = "".join(p.read_text("utf-8") for p in [ROOT / "README.md", *ROOT.glob("docs/*.md")])
    told = read & set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", words))
    passed: set[str] = set()
    for more in ((), (compose.OBJECT_STORE,), (compose.WEBHOOKS,)):
        for facts in compose.raw(*more)["services"].values():
            names = set(facts.get("environment", {}))
            passed |= names | {name.removesuffix("_FILE") for name in names}
    # A hospital's installation never has it; see the runbook.
    assert told - passed == {"DEMO_CLINIC"}


def test_no_secret_stands_in_the_files() -> None:
    for name, facts in compose.raw(compose.OBJECT_STORE)["services"].items():
        for key, value in facts.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|AUTH|KEY", key):
                assert key.endswith("_FILE"), f"{name}: {key}"
                assert value.removeprefix("/run/secrets/") in facts["secrets"], f"{name}: {key}"
            if key.endswith("_URL"):
                assert not urlsplit(value).password, f"{name}: {key}"
        for word in facts.get("command", []):
            assert "PASSWORD" not in word
    for name, rest in dockerfile():
        if name in {"ARG", "ENV"}:
            assert not re.search("PASSWORD|SECRET|_URL", rest)


def test_the_brokers_password_is_written_to_memory_only() -> None:
    facts = service("redis")
    written = re.findall(r"> (\S+)", facts["command"][-1])
    assert len(written) == 1
    in_memory = [each.split(":")[0] for each in facts["tmpfs"]]
    assert written[0].rpartition("/")[0] in in_memory
    # Only the kernel may hand the signal to the server.
    assert facts["command"][-1].count("exec redis-server") == 1
    assert "|" not in facts["command"][-1]


def test_every_secret_is_a_file_that_the_example_draws(tmp_path: Path) -> None:
    """The main file's are drawn or made empty; the object store's own keys are given by it."""
    drawn = compose.draw_secrets(tmp_path)
    assert drawn.stat().st_mode & 0o777 == 0o700
    files = {path.name: path for path in drawn.iterdir()}
    for name, facts in compose.raw()["secrets"].items():
        assert facts == {"file": f"./secrets/{name}"}
        assert files[name].stat().st_mode & 0o777 == 0o444
    assert set(files) == set(compose.raw()["secrets"])
    empty = {name for name, path in files.items() if not path.read_text(encoding="utf-8").strip()}
    assert empty == {"secret_key_fallbacks", "email_password"}
    before = {name: path.read_bytes() for name, path in files.items()}
    # Drawing a second time loses nothing.
    compose.draw_secrets(tmp_path)
    assert {name: path.read_bytes() for name, path in files.items()} == before
    more = compose.raw(compose.OBJECT_STORE)
    assert set(more["secrets"]) - set(files) == {"media_s3_access_key", "media_s3_secret_key"}
    used = {name for facts in more["services"].values() for name in facts.get("secrets", [])}
    assert used == set(more["secrets"])
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert {".env", "/secrets/"} <= set(ignored)


def test_the_object_store_is_reached_by_those_who_need_it() -> None:
    found = compose.services(ENVIRONMENT | BUCKET, compose.OBJECT_STORE)
    reaching = {name for name, facts in found.items() if "outside" in facts["networks"]}
    assert reaching == {"web", "worker"}
    for name, facts in found.items():
        named = facts.get("environment", {}).get("MEDIA_S3_BUCKET")
        assert named == ("skin-images" if name in reaching else None)
        # What the file below says stays.
        if name in APPLICATION:
            assert facts["environment"]["SECRET_KEY_FILE"] == "/run/secrets/secret_key"
    with pytest.raises(compose.MissingVariableError, match="MEDIA_S3_BUCKET"):
        compose.services(ENVIRONMENT, compose.OBJECT_STORE)


def test_the_image_holds_postgresqls_programs_for_backups(tmp_path: Path) -> None:
    """The Dockerfile's own line is run, on this environment's packages."""
    packages = sysconfig.get_path("purelib")
    line = next(rest for name, rest in dockerfile() if name == "RUN" and "pg_dump" in rest)
    places = {"/opt/venv/lib/python3.*/site-packages": packages, "/opt/postgresql": str(tmp_path)}
    for old, new in places.items():
        assert old in line
        line = line.replace(old, new)
    subprocess.run(["sh", "-c", line], check=True, capture_output=True)
    path = next(rest for name, rest in dockerfile() if name == "ENV" and "PATH=" in rest)
    found = re.search(r"PATH=/opt/venv/bin:/opt/postgresql/(\S+?):\$PATH", path)
    assert found is not None
    assert ("COPY", "--from=packages /opt/postgresql /opt/postgresql") in dockerfile()
    server = re.search(r"-pg(\d+)$", service("postgres")["image"])
    assert server is not None
    for program in ("pg_dump", "pg_restore", "psql"):
        said = subprocess.run(
            [tmp_path / found[1] / program, "--version"],
            env={},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        version = re.search(r"\(PostgreSQL\) (\d+)\.", said)
        assert version is not None
        assert int(version[1]) >= int(server[1])
    # They find their own library, not one of this machine.
    linked = subprocess.run(
        ["ldd", tmp_path / found[1] / "pg_dump"], check=True, capture_output=True, text=True
    ).stdout
    assert f"{tmp_path}" in next(each for each in linked.splitlines() if "libpq" in each)
    whole = psycopg2.extensions.parse_dsn(os.environ["DATABASE_URL"])
    answer = subprocess.run(
        [tmp_path / found[1] / "psql", "-Atc", "SHOW server_version_num"],
        env={f"PG{name.upper()}": str(value) for name, value in whole.items() if name != "dbname"}
        | {"PGDATABASE": "postgres"},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert int(answer) >= 180_000


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
