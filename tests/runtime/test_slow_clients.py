"""No number of slow clients keeps the web server's threads from everybody else."""

from __future__ import annotations

import contextlib
import io
import socket
import sys
import time
from typing import TYPE_CHECKING

import pytest

from skinapp import serving
from skinapp.runtime.children import free_socket, start, stop
from skinapp.runtime.supervisor import ROOT
from tests.runtime.installations import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

# Times short enough to be waited out.
SHORT_TIMES = """
from skinapp import serving
serving.GATHER_SECONDS = 3.0
serving.STALL_SECONDS = 3.0
serving.GRACE_SECONDS = 1.0
"""
PROGRAM = """
import time

def application(environ, start_response):
    body = environ["wsgi.input"].read() if environ["PATH_INFO"] == "/read" else b""
    if environ["PATH_INFO"] == "/slow":
        time.sleep(2)
    status = "413 Content Too Large" if environ["PATH_INFO"] == "/refuse" else "200 OK"
    headers = [("Content-Length", "8"), ("X-Body", str(len(body)))]
    start_response(status, headers)
    return [b"answered"]
"""
THREADS = 4


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of one process of the web server with a small application."""
    folder = tmp_path_factory.mktemp("slow")
    process, number = launched(folder, SHORT_TIMES + PROGRAM)
    yield number
    stop(process, sign=15, seconds=20)
    log = (folder / "log").read_text(encoding="utf-8")
    assert "Traceback" not in log, log


def launched(folder: Path, program: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start one process of the web server; return it and its port."""
    (folder / "small_application.py").write_text(program, encoding="utf-8")
    held = free_socket()
    held.listen(256)
    number = int(held.getsockname()[1])
    process = start(
        [
            *(sys.executable, "-m", "gunicorn", "small_application:application"),
            *(f"--bind=fd://{held.fileno()}", f"--threads={THREADS}", f"--pythonpath={folder}"),
            *("--worker-class=skinapp.serving.Worker", "--no-control-socket", "--preload"),
            "--access-logfile=-",
        ],
        folder=ROOT,
        keep=[held.fileno()],
        log=folder / "log",
    )
    held.close()
    wait_until(lambda: asks(number).startswith(b"HTTP/1.1 200"), what="it answers")
    return process, number


def opened(port: int, data: bytes) -> socket.socket:
    """Return a connection on which so much was said."""
    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(data)
    return client


def heard(client: socket.socket) -> bytes:
    """Return everything until the server hangs up."""
    data = io.BytesIO()
    with contextlib.suppress(ConnectionResetError):
        while piece := client.recv(65_536):
            data.write(piece)
    return data.getvalue()


def request(path: str = "/", length: int | None = None, *, close: bool = True) -> bytes:
    """Return the head of a request, with a declared length if it has a body."""
    method = "GET" if length is None else "POST"
    lines = [f"{method} {path} HTTP/1.1", "Host: testserver"]
    if close:
        lines.append("Connection: close")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


def asks(port: int, head: bytes | None = None, body: bytes = b"") -> bytes:
    """Ask as a quick client does, and return the answer."""
    with opened(port, (head or request()) + body) as client:
        return heard(client)


SLOW = {
    "says nothing": b"",
    "half a line": b"GET / HT",
    "a head without an end": b"GET / HTTP/1.1\r\nHost: testserver\r\nX-Slow: ",
    "a form without its end": request("/read", 1_000) + b"name=",
    "an upload without its end": request("/read", 20_000_000) + b"--edge",
}


@pytest.mark.parametrize("said", SLOW.values(), ids=SLOW)
def test_slow_clients_hold_nobody_up_and_are_let_go(port: int, said: bytes) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(opened(port, said)) for _ in range(THREADS * 5)]
        for _ in range(5):
            began = time.monotonic()
            assert asks(port).endswith(b"answered")
            assert time.monotonic() - began < serving.GATHER_SECONDS
        heard(slow[0])


def test_a_byte_now_and_then_does_not_help(port: int) -> None:
    began = time.monotonic()
    with opened(port, b"GET / HTTP/1.1\r\nX-Slow: ") as client, contextlib.suppress(OSError):
        while time.monotonic() - began < 30:
            client.sendall(b"x")
            client.settimeout(0.3)
            with contextlib.suppress(TimeoutError):
                if client.recv(1) == b"":
                    break
    assert time.monotonic() - began < 30


def test_a_body_in_pieces_arrives_whole(port: int) -> None:
    for length in (10, serving.SMALL_BODY, serving.SMALL_BODY + 1, 3_000_000):
        with opened(port, request("/read", length)) as client:
            for begin in range(0, length, 1_000_000):
                client.sendall(b"x" * min(1_000_000, length - begin))
            answer = heard(client)
        assert f"X-Body: {length}\r\n".encode() in answer


def test_two_requests_on_one_connection_and_sent_at_once(port: int) -> None:
    with opened(port, request(close=False)) as client:
        first = b""
        while b"answered" not in first:
            first += client.recv(65_536)
        assert first.startswith(b"HTTP/1.1 200")
        client.sendall(request(close=False) + request("/read", 3) + b"abc")
        assert heard(client).count(b"answered") == 2


def test_two_gigabytes_are_refused_before_they_are_sent(port: int) -> None:
    began = time.monotonic()
    with opened(port, request("/refuse", 2 * 1024**3, close=False)) as client:
        assert client.recv(65_536).startswith(b"HTTP/1.1 413")
        # Nor is the connection kept for the rest.
        heard(client)
    assert time.monotonic() - began < 20


def test_a_head_without_end_is_not_answered(port: int) -> None:
    with opened(port, b"GET / HTTP/1.1\r\n" + b"X-Long: y\r\n" * 10_000) as client:
        assert b"answered" not in heard(client)
    assert asks(port).endswith(b"answered")


def test_a_stop_waits_for_nobody_and_answers_what_has_arrived(tmp_path: Path) -> None:
    """Browsers hold connections; without our bounds each would delay the end by 15 s."""
    process, port = launched(tmp_path, PROGRAM)
    with contextlib.ExitStack() as stack:
        for said in [b""] * 5 + [b"GET / HT", request("/read", 1_000) + b"name="]:
            stack.enter_context(opened(port, said))
        kept = [stack.enter_context(opened(port, request(close=False))) for _ in range(3)]
        for client in kept:
            assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        # More than there are threads: two have to wait for one.
        asked = [stack.enter_context(opened(port, request("/slow"))) for _ in range(THREADS + 2)]
        sending = stack.enter_context(opened(port, request("/read", 1_000_000) + b"x" * 10))
        time.sleep(0.5)
        began = time.monotonic()
        process.terminate()
        time.sleep(0.2)
        sending.sendall(b"x" * 999_990)
        for client in [*asked, sending]:
            assert heard(client).endswith(b"answered")
        answered = time.monotonic()
        assert process.wait(30) == 0
        # From the last answer on; most of it is a bound for slow machines.
        assert time.monotonic() - answered < 5
        assert time.monotonic() - began < 12
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("said", "whole", "large"),
    [
        (b"", False, False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", False, False),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True, False),
        (b"POST / HTTP/1.1\r\ncontent-length: 3\r\n\r\nab", False, False),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", True, False),
        (b"POST / HTTP/1.1\r\nContent-Length: 65537\r\n\r\n", True, True),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", True, True),
        (b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", True, True),
        (b"POST / HTTP/1.1\r\nX-Content-Length: 9\r\n\r\n", True, False),
        (b"x" * 70_000, True, False),
    ],
)
def test_what_is_collected_and_what_a_thread_reads(said: bytes, whole: bool, large: bool) -> None:
    assert serving.is_whole(said) == (whole, large)
