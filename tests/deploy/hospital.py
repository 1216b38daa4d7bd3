"""The installation that ``docker-compose.yml`` describes, as plain processes on this machine.

The commands and the environment are the file's own. Only what a container gives is replaced: the
names ``postgres`` and ``redis`` by real servers' addresses, the folders and the port.
"""

from __future__ import annotations

import http.client
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import psycopg2

from skinapp.runtime.children import free_port, start, stop, tell
from skinapp.runtime.servers import _valkey_program
from skinapp.runtime.supervisor import ROOT
from tests.deploy import compose

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

HOST = "skin.hospital.example"


def given() -> dict[str, str]:
    """Return what a hospital would write into ``.env``."""
    return {
        "ALLOWED_HOSTS": HOST,
        "EMAIL_URL": "consolemail://",
        "DEFAULT_FROM_EMAIL": "skin@hospital.example",
        "WEB_CONCURRENCY": "1",
    }


def from_dockerfile(name: str) -> list[str]:
    """Return what follows each instruction ``name`` of the Dockerfile."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{name} (.*)$", text, flags=re.MULTILINE)


@dataclass
class Hospital:
    """The services of the compose file.

    Attributes:
        folder: for media, static files, logs.
        admin_url: of a PostgreSQL in which a role and a database of our own may be made.
    """

    folder: Path
    admin_url: str
    port: int = field(default_factory=free_port)
    redis_port: int = field(default_factory=free_port)
    name: str = field(default_factory=lambda: f"hospital_{secrets.token_hex(4)}")
    values: dict[str, str] = field(default_factory=given)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Read the compose file with our values, and draw the secrets."""
        self.services = compose.services(self.values)
        self.secrets = compose.draw_secrets(self.folder)

    @property
    def broker_facts(self) -> Path:
        """Return the file that the broker reads its password from; in a container, in memory."""
        return self.folder / "redis.conf"

    def make_database(self) -> None:
        """Make an ordinary role with the hospital's password, and a database that it owns."""
        password = (self.secrets / "postgres_password").read_text(encoding="utf-8").strip()
        self._as_admin(
            f"CREATE ROLE {self.name} LOGIN PASSWORD '{password}'",
            f"CREATE DATABASE {self.name} OWNER {self.name}",
        )
        # What the runbook asks of the database's superuser.
        self._as_admin("CREATE EXTENSION vector", database=self.name)

    def _as_admin(self, *statements: str, database: str | None = None) -> None:
        named = {"dbname": database} if database else {}
        connection: Any = psycopg2.connect(self.admin_url, **named)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
        finally:
            connection.close()

    def environment(self, service: str) -> dict[str, str]:
        """Return what a container of the service would see, on this machine's addresses."""
        image = dict(
            part.split("=", 1) for line in from_dockerfile("ENV") for part in shlex.split(line)
        )
        facts: dict[str, str] = self.services[service].get("environment", {})
        server = urlsplit(self.admin_url)
        places = {
            "@postgres:5432/skinapp": f"@{server.hostname}:{server.port}/{self.name}",
            "postgres://skinapp@": f"postgres://{self.name}@",
            "//redis:6379/": f"//127.0.0.1:{self.redis_port}/",
            "/run/secrets/": f"{self.secrets}/",
        }
        for old, new in places.items():
            facts = {key: value.replace(old, new) for key, value in facts.items()}
        own = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PORT": str(self.port),
            "STATIC_ROOT": str(self.folder / "static"),
            "MEDIA_ROOT": str(self.folder / "media"),
        }
        if "HEARTBEAT_FILE" in facts:
            own["HEARTBEAT_FILE"] = str(self.folder / f"{service}.heartbeat")
        for name in ("PATH", "STATIC_ROOT", "MEDIA_ROOT", "PORT"):
            assert name in image, f"the Dockerfile sets no {name}"
        return image | facts | own

    def build_static(self) -> None:
        """Run the Dockerfile's own line that collects the static files."""
        (line,) = (line for line in from_dockerfile("RUN") if "collectstatic" in line)
        environment = self.environment("migrate")
        # The build knows no secret: not even where one will lie.
        for name in [name for name in environment if name.endswith(("_FILE", "_URL"))]:
            environment.pop(name)
        self._finish(["sh", "-c", line], environment, "collectstatic")

    def run_once(self, service: str) -> str:
        """Run a one-shot service and return its output."""
        return self._finish(self.command(service), self.environment(service), service)

    def manage(self, *arguments: str, **extra: str) -> str:
        """Run a ``manage.py`` command as ``docker compose run web`` would."""
        command = ["python", "manage.py", *arguments]
        return self._finish(command, self.environment("web") | extra, "manage")

    def _finish(self, command: list[str], environment: Mapping[str, str], name: str) -> str:
        answer = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{name}: {answer.stdout}{answer.stderr}"
        return answer.stdout

    def command(self, service: str) -> list[str]:
        """Return the service's command, word for word but for the broker's program and folder."""
        words: list[str] = self.services[service]["command"]
        if service != "redis":
            return words
        data = self.folder / "redis"
        data.mkdir(exist_ok=True)
        program = shlex.quote(str(_valkey_program()))
        places = {
            "exec redis-server": f"exec {program}",
            "/tmp/redis.conf": shlex.quote(str(self.broker_facts)),  # noqa: S108 - the container's
            "--dir /data": f"--port {self.redis_port} --dir {shlex.quote(str(data))}",
            "/run/secrets/": f"{shlex.quote(str(self.secrets))}/",
        }
        for old, new in places.items():
            assert old in words[-1]
            words = [*words[:-1], words[-1].replace(old, new)]
        return words

    def start(self, service: str) -> None:
        """Start a service in the background; its output goes to a log."""
        environment = self.environment(service)
        self.processes[service] = start(
            self.command(service),
            environment=environment,
            folder=ROOT,
            log=self.folder / f"{service}.log",
        )

    def is_healthy(self, service: str) -> bool:
        """Run the service's own health check."""
        kind, *command = self.services[service]["healthcheck"]["test"]
        assert kind == "CMD"
        environment = self.environment(service)
        answer = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, check=False
        )
        return answer.returncode == 0

    def log(self, service: str) -> str:
        """Return what the service has said."""
        return (self.folder / f"{service}.log").read_text(encoding="utf-8")

    def stop(self) -> None:
        """Stop every service, and drop the database and its role."""
        for process in self.processes.values():
            tell(process, signal.SIGTERM)
        for name in reversed(self.processes):
            stop(self.processes[name], sign=0, seconds=20)
        self._as_admin(
            f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)",
            f"DROP ROLE IF EXISTS {self.name}",
        )


@dataclass
class Answer:
    """An answer of the web server."""

    status: int
    headers: Message
    text: str


@dataclass
class Browser:
    """A browser that keeps cookies and sends forms.

    Attributes:
        port: where the web server listens.
        host: the name that it asks for.
        proxied: whether the hospital's TLS proxy stands between.
        cookies: what it was told to keep.
    """

    port: int
    host: str = HOST
    proxied: bool = True
    cookies: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Fetch a page."""
        return self._ask("GET", path, b"", dict(headers or {}))

    def post(self, page: str, path: str, fields: Mapping[str, str]) -> Answer:
        """Send a form that stands on ``page`` to ``path``."""
        return self.send(path, dict(fields) | {"csrfmiddlewaretoken": self.token(page)})

    def send(
        self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a form that holds its token already."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask("POST", path, urlencode(fields).encode(), kind | dict(headers or {}))

    def upload(self, page: str, fields: Mapping[str, str], picture: bytes) -> Answer:
        """Send the form of ``page`` with one file in the field ``images``."""
        edge = uuid.uuid4().hex
        whole = dict(fields) | {"csrfmiddlewaretoken": self.token(page)}
        parts = [
            f'--{edge}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in whole.items()
        ]
        parts.append(
            f'--{edge}\r\nContent-Disposition: form-data; name="images"; filename="a.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        )
        body = "".join(parts).encode() + picture + f"\r\n--{edge}--\r\n".encode()
        return self._ask(
            "POST", page, body, {"Content-Type": f"multipart/form-data; boundary={edge}"}
        )

    def token(self, path: str) -> str:
        """Return the token of the form on a page."""
        page = self.get(path)
        found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert found is not None, f"{path}: {page.status} has no form"
        return found[1]

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {
            "Host": self.host,
            "Referer": f"https://{self.host}{path}",
            "Accept": "text/html",
            "Cookie": cookies,
        }
        if self.proxied:
            sent |= {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"}
        try:
            connection.request(method, path, body=body, headers=sent | headers)
            answer = connection.getresponse()
            for line in answer.headers.get_all("Set-Cookie", []):
                for name, morsel in SimpleCookie(line).items():
                    self.cookies[name] = morsel.value
            text = answer.read().decode("utf-8", errors="replace")
            return Answer(answer.status, answer.headers, text)
        finally:
            connection.close()
