"""A server that can be frozen: its connections stay open, and nothing comes back on them."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 65_536


class Relay:
    """Passes on what is sent to a server and what it answers, until it is frozen.

    To a client it then is what a stopped server is: the kernel goes on taking connections and
    confirming what arrives, and nobody reads it.

    Attributes:
        port: where it listens on this machine.
    """

    def __init__(self, host: str, port: int) -> None:
        """Listen, in front of the server at ``host`` and ``port``."""
        self._server = (host, port)
        self._moves = threading.Event()
        self._moves.set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Pass nothing on any more."""
        self._moves.clear()

    def thaw(self) -> None:
        """Go on."""
        self._moves.set()

    def close(self) -> None:
        """End every connection."""
        self._moves.set()
        for each in self._sockets:
            # A socket that waits notices only this.
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            self._moves.wait()
            server = socket.create_connection(self._server)
            self._sockets += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self._moves.wait()
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def relay_to(host: str, port: int) -> Iterator[Relay]:
    """Give a relay in front of a server."""
    relay = Relay(host, port)
    try:
        yield relay
    finally:
        relay.close()
