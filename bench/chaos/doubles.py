"""Delivering every message twice: what is put into a queue is put there once more."""

from __future__ import annotations

import ast
import re
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_QUEUES = ("analysis", "maintenance")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"')
_PAUSE = 0.05


@dataclass
class Doubler:
    """Watches the broker and repeats each message that somebody else sends.

    It speaks the protocol itself, because a message must be repeated byte for byte.

    Attributes:
        url: of the broker; it may go away and come back.
        doubled: how many messages were sent a second time.
    """

    url: str
    doubled: int = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._run, name="doubler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._end.is_set():
            with suppress(OSError):
                self._watch()
            self._end.wait(_PAUSE)

    def _connect(self) -> socket.socket:
        place = urlsplit(self.url)
        line = socket.create_connection((place.hostname or "", place.port or 0), timeout=1)
        line.sendall(_command(b"AUTH", (place.password or "").encode()))
        if not line.recv(100).startswith(b"+OK"):
            line.close()
            raise OSError("the broker is not ready")
        return line

    def _watch(self) -> None:
        with self._connect() as watching, self._connect() as sending:
            host, port = sending.getsockname()
            own = f"{host}:{port}]".encode()
            watching.sendall(_command(b"MONITOR"))
            rest = b""
            while not self._end.is_set():
                try:
                    received = watching.recv(1 << 16)
                except TimeoutError:
                    continue
                if not received:
                    return
                *lines, rest = (rest + received).split(b"\r\n")
                for line in lines:
                    if own not in line[:80]:
                        self._repeat(line, sending)

    def _repeat(self, line: bytes, sending: socket.socket) -> None:
        message = sent_message(line)
        if message is not None:
            sending.sendall(_command(b"LPUSH", *message))
            sending.recv(100)
            self.doubled += 1


def sent_message(line: bytes) -> tuple[bytes, bytes] | None:
    """Return queue and message of a line of MONITOR, None where it sends none."""
    words = _TOKEN.findall(line)
    if len(words) != 3 or words[0].lower() != b'"lpush"':  # noqa: PLR2004 - command, queue, message
        return None
    queue, message = (_unquoted(word) for word in words[1:])
    return (queue, message) if queue.decode() in _QUEUES else None


def _unquoted(word: bytes) -> bytes:
    """Undo the server's quoting, whose escapes are Python's too."""
    value = ast.literal_eval("b" + word.decode("ascii"))
    assert isinstance(value, bytes)  # noqa: S101 - for the type checker: a literal of bytes
    return value


def _command(*words: bytes) -> bytes:
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)
