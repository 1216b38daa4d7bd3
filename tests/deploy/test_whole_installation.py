"""The very commands of the compose file, under production settings, on real servers: one visit."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError
from redis.exceptions import ConnectionError as RedisConnectionError

from mlcore.drawing import draw_dermoscopy
from skinapp.runtime.children import stop
from tests.deploy.hospital import HOST, Browser, Hospital
from tests.runtime.installations import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("deploy")

PASSWORD = "a demo password of this test"
CLINICIAN = "clinician@demo.example"


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """Return the running installation, started in the order that the compose file asks for."""
    found = Hospital(tmp_path_factory.mktemp("hospital"), os.environ["DATABASE_URL"])
    try:
        found.make_database()
        found.build_static()
        found.start("redis")
        assert "answers for isic9" in found.run_once("migrate")
        for name in ("web", "worker", "beat"):
            found.start(name)
        found.manage("seed_demo", "--patients=0", DEMO_CLINIC="1", DEMO_PASSWORD=PASSWORD)
        for name in ("web", "worker", "beat"):
            wait_until(
                lambda: found.is_healthy(name),  # noqa: B023 - asked at once
                what=f"{name} is healthy: {found.log(name)}",
            )
        yield found
    finally:
        found.stop()


@pytest.fixture
def browser(hospital: Hospital) -> Browser:
    """Return a browser in which the clinician has signed in."""
    window = Browser(hospital.port)
    answer = window.post(
        "/accounts/login/", "/accounts/login/", {"login": CLINICIAN, "password": PASSWORD}
    )
    assert answer.status == 302, answer.text
    return window


def test_one_upload_is_answered(hospital: Hospital, browser: Browser) -> None:
    picture = io.BytesIO()
    draw_dermoscopy("melanoma", seed=5).save(picture, "JPEG", quality=92)
    sent = browser.upload(
        "/analyses/new/",
        {
            "record_number": "MRN-DEPLOY-1",
            "name": "Dora Deploy",
            "sex": "unknown",
            "skin_type": "unknown",
            "modality": "dermoscopy",
            "key": str(uuid.uuid4()),
        },
        picture.getvalue(),
    )
    assert sent.status == 302, sent.text
    address = re.sub(r"[?#].*", "", sent.headers["Location"])
    assert re.fullmatch(r"/analyses/[0-9a-f-]{36}/", address)
    wait_until(
        lambda: browser.get(f"{address}status/").status == 286,
        what=f"the worker has answered: {hospital.log('worker')}",
        seconds=60,
    )
    before = browser.get(address).text
    assert "Your own reading" in before
    assert "The network's answer" not in before.replace("&#x27;", "'")
    saved = browser.post(address, f"{address}reading/", {"diagnosis": "nevus"})
    assert saved.status == 302, saved.text
    after = browser.get(address).text.replace("&#x27;", "'")
    assert "The network's answer" in after
    assert "litert" in after
    stored = [path for path in (hospital.folder / "media").rglob("*") if path.is_file()]
    assert len(stored) == 3
    for path in stored:
        assert path.stat().st_mode & 0o077 == 0
    # Logs hold nothing about the person.
    for name in ("web", "worker", "beat"):
        assert "Dora" not in hospital.log(name)
        assert "MRN-DEPLOY-1" not in hospital.log(name)


def test_ready_says_what_works(hospital: Hospital) -> None:
    answer = Browser(hospital.port).get("/readyz")
    assert answer.status == 200, answer.text
    assert set(json.loads(answer.text).values()) == {"ok"}


def test_everything_is_sent_over_tls_and_closed(hospital: Hospital, browser: Browser) -> None:
    page = browser.get("/")
    assert page.status == 200
    assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["Cache-Control"] == "no-store, private"
    assert all(name.startswith("__Host-") for name in browser.cookies if "id" in name)
    turned = Browser(hospital.port, proxied=False).get("/")
    assert turned.status == 301
    assert turned.headers["Location"] == f"https://{HOST}/"


def test_static_files_are_served_for_ever(hospital: Hospital, browser: Browser) -> None:
    page = browser.get("/")
    sheet = re.search(r'href="(/static/css/[a-z-]+\.[0-9a-f]{12}\.css)"', page.text)
    assert sheet is not None
    answer = browser.get(sheet[1])
    assert answer.status == 200
    assert "immutable" in answer.headers["Cache-Control"]


def test_its_backup_is_whole(hospital: Hospital) -> None:
    folder = hospital.folder / "backups"
    folder.mkdir()
    assert "the database and" in hospital.manage("backup", str(folder))
    (archive,) = folder.iterdir()
    assert "is whole" in hospital.manage("restore", str(archive), "--verify-only")


def test_no_secret_stands_in_the_environment_of_a_process(hospital: Hospital) -> None:
    drawn = [path.read_text(encoding="utf-8").strip() for path in hospital.secrets.iterdir()]
    for process in hospital.processes.values():
        seen = Path(f"/proc/{process.pid}/environ").read_bytes()
        seen += Path(f"/proc/{process.pid}/cmdline").read_bytes()
        # The broker writes its name over both.
        seen += str(process.args).encode()
        assert b"HOSPITAL" in seen.upper()
        assert not any(secret.encode() in seen for secret in drawn if secret)


def test_the_broker_stops_when_it_is_told_to(tmp_path: Path) -> None:
    """A container's first process must be the server itself: a shell would not pass it on."""
    own = Hospital(tmp_path, os.environ["DATABASE_URL"])
    own.start("redis")
    broker = own.processes["redis"]
    password = (own.secrets / "redis_password").read_text(encoding="utf-8").strip()
    client = Redis(port=own.redis_port, password=password, socket_timeout=5)
    try:
        wait_until(lambda: answers(client), what=f"the broker answers: {own.log('redis')}")
        with Redis(port=own.redis_port) as stranger, pytest.raises(AuthenticationError):
            stranger.ping()
        assert password in own.broker_facts.read_text(encoding="utf-8")
        assert own.broker_facts.stat().st_mode & 0o777 == 0o600
        for place in ("cmdline", "environ"):
            assert password.encode() not in Path(f"/proc/{broker.pid}/{place}").read_bytes()
        client.set("kept", "yes")
        began = time.monotonic()
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(20) == 0
        assert time.monotonic() - began < 3
        assert not answers(client)
        own.start("redis")
        wait_until(lambda: answers(client), what=f"it answers again: {own.log('redis')}")
        assert client.get("kept") == b"yes"
    finally:
        client.close()
        stop(own.processes["redis"], sign=signal.SIGKILL, seconds=5)
        stop(broker, sign=signal.SIGKILL, seconds=5)


def test_the_broker_does_not_start_without_a_password(tmp_path: Path) -> None:
    own = Hospital(tmp_path, os.environ["DATABASE_URL"])
    (own.secrets / "redis_password").chmod(0o600)
    (own.secrets / "redis_password").write_text("", encoding="utf-8")
    own.start("redis")
    try:
        assert own.processes["redis"].wait(20) != 0
    finally:
        stop(own.processes["redis"], sign=signal.SIGKILL, seconds=5)


def answers(client: Redis[Any]) -> bool:
    """Tell whether a broker answers."""
    try:
        return bool(client.ping())
    except RedisConnectionError:
        return False


def test_web_stops_at_once_and_starts_again(hospital: Hospital, browser: Browser) -> None:
    """Half a second of a core in each process would be many seconds on a busy machine."""
    assert browser.get("/").status == 200
    web = hospital.processes["web"]
    before = spent = processor_seconds(web.pid)
    web.terminate()
    while web.poll() is None:
        spent = max(spent, processor_seconds(web.pid))
        time.sleep(0.01)
    assert web.returncode == 0
    assert spent - before < 0.35
    hospital.start("web")
    wait_until(lambda: hospital.is_healthy("web"), what=f"web is healthy: {hospital.log('web')}")


def processor_seconds(pid: int) -> float:
    """Return what a process has used of the processors' time; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return 0.0
    ticks = sum(int(word) for word in text.rpartition(")")[2].split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


def test_a_senseless_word_about_its_content_is_refused(hospital: Hospital) -> None:
    """Django's own request would end in a fault that no page of ours could answer."""
    asked = Browser(hospital.port)
    for kind in ("text/html; charset*=rot13''%ff", "text/html; charset=rot13"):
        answer = asked.send("/accounts/login/?next=/", {}, {"Content-Type": kind})
        assert answer.status == 400
        assert answer.text.startswith("The request")


def test_an_unknown_host_is_refused(hospital: Hospital) -> None:
    stranger = Browser(hospital.port, host="elsewhere.example")
    assert stranger.get("/").status == 400
