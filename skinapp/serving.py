"""``--worker-class=skinapp.serving.Worker``: gunicorn's threads wait for no slow client.

Gunicorn's own threaded worker gives a thread to each connection that has sent a byte; twelve
clients who send a byte a minute would hold all of them. Here the main loop, which waits for
thousands of sockets at once, collects a request's head and a small body, within a time for all of
it. A thread gets the request when it is whole. What is too large to be collected (an upload) is
read by a thread, but never by all of them, and not slower than a lowest rate. A proxy that collects
requests does the same in front; this holds without one, and when the proxy is told not to.
"""

from __future__ import annotations

import errno
import functools
import re
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from gunicorn.workers.gthread import TConn, ThreadWorker

if TYPE_CHECKING:
    import socket
    from concurrent.futures import Future

# For the head and a small body together.
GATHER_SECONDS = 15.0
# Django's own bound of what a form without files may send lies above; forms here are far smaller.
SMALL_BODY = 64 * 1024
_MOST_HEAD = 64 * 1024
_READ = 64 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = re.compile(rb"^content-length:[ \t]*(\d{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_UNKNOWN = re.compile(rb"^(?:transfer-encoding|expect):", re.IGNORECASE | re.MULTILINE)
# An upload may pause so long, and be no slower on the whole: 25 MB in 13 minutes.
STALL_SECONDS = 10.0
LOWEST_RATE = 32 * 1024
GRACE_SECONDS = 20.0
# A server that was told to stop waits so long for a request that a client may be sending just now;
# requests that have arrived are answered, however long they take.
STOP_SECONDS = 0.5
# A client may take so long to read one piece of an answer.
SEND_SECONDS = 60.0


class PatientSocket:
    """Reads from a client, but not for ever.

    Its errors are those of a lost connection, which gunicorn and Django take calmly.
    """

    def __init__(self, client: socket.socket) -> None:
        """Read from ``client``; its time begins now."""
        self._client = client
        self._began = time.monotonic()
        self._got = 0

    def recv(self, most: int) -> bytes:
        """Return what has arrived.

        Raises:
            ConnectionResetError: nothing arrives, or all in all too little has.
        """
        spent = time.monotonic() - self._began
        if spent > GRACE_SECONDS + self._got / LOWEST_RATE:
            raise ConnectionResetError(errno.ECONNRESET, "The client sends too slowly.")
        self._client.settimeout(STALL_SECONDS)
        try:
            data = self._client.recv(most)
        except TimeoutError as error:
            raise ConnectionResetError(errno.ECONNRESET, "The client stalls.") from error
        finally:
            self._client.settimeout(SEND_SECONDS)
        self._got += len(data)
        return data


class Connection(TConn):  # type: ignore[misc]  # gunicorn ships no types
    """A connection with what was collected of its next request."""

    gathered: bytearray
    large: bool = False


def is_whole(gathered: bytes | bytearray) -> tuple[bool, bool]:
    """Tell whether a request can be handed to a thread, and whether its body is large.

    Args:
        gathered: what has arrived of it.
    """
    end = gathered.find(_END_OF_HEAD)
    if end < 0:
        # The parser refuses so long a head in its own words.
        return len(gathered) > _MOST_HEAD, False
    head = bytes(gathered[: end + 2])
    if _UNKNOWN.search(head):
        return True, True
    # Several lengths are the parser's to refuse.
    length = max((int(found) for found in _LENGTH.findall(head)), default=0)
    if length > SMALL_BODY:
        return True, True
    return len(gathered) >= end + len(_END_OF_HEAD) + length, False


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn ships no types
    """Collects requests before a thread sees them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # At least one thread is never reading an upload.
        self._free_for_large = max(1, self.cfg.threads // 2)
        self._large_waiting: deque[Connection] = deque()

    def accept(self, listener: socket.socket) -> None:
        """Take a connection and collect its first request."""
        try:
            client, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        self.nr_conns += 1
        # Whoever has said nothing yet makes room, the oldest first: the site stays open.
        if self.pending_conns and self.nr_conns > self.worker_connections // 2:
            self._drop(self.pending_conns[0])
        self._gather(Connection(self.cfg, client, address, listener.getsockname()), b"")

    def on_client_socket_readable(self, conn: Connection, client: socket.socket) -> None:
        """Collect the next request of a connection that was kept."""
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._gather(conn, b"")

    def _gather(self, conn: Connection, held: bytes) -> None:
        conn.gathered = bytearray(held)
        conn.timeout = time.monotonic() + (GATHER_SECONDS if self.alive else STOP_SECONDS)
        conn.sock.settimeout(0)
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, functools.partial(self._more, conn))
        self._look(conn)

    def _more(self, conn: Connection, client: socket.socket) -> None:
        try:
            data = client.recv(_READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(conn)
            return
        conn.gathered += data
        self._look(conn)

    def _look(self, conn: Connection) -> None:
        whole, conn.large = is_whole(conn.gathered)
        if not whole:
            return
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        if conn.large and not self._free_for_large:
            self._large_waiting.append(conn)
            return
        self._free_for_large -= conn.large
        self.enqueue_req(conn)

    def _drop(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self.pending_conns.remove(conn)
        self.nr_conns -= 1
        conn.close()

    def _cap_keepalive(self, deadline: float) -> None:
        """Begin to stop: wait neither for browsers that hold a connection nor for slow clients."""
        deadline = min(deadline, time.monotonic() + STOP_SECONDS)
        super()._cap_keepalive(deadline)
        for conn in list(self.pending_conns):
            # A browser opens connections for what it may ask later.
            if conn.gathered:
                conn.timeout = min(conn.timeout, deadline)
            else:
                self._drop(conn)

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait, while stopping no longer than for the next connection that is let go."""
        held = [] if self.alive else [*self.keepalived_conns, *self.pending_conns]
        next_end = min((conn.timeout for conn in held), default=float("inf"))
        super().wait_for_and_dispatch_events(max(0.0, min(timeout, next_end - time.monotonic())))

    def handle(self, conn: Connection) -> bool:
        """Answer one request, in a thread."""
        conn.data_ready = True
        conn.sock.settimeout(None)
        conn.init()
        conn.parser.unreader.unread(bytes(conn.gathered))
        conn.gathered = bytearray()
        conn.parser.unreader.sock = PatientSocket(conn.sock)
        kept = super().handle(conn)
        if kept:
            return True
        # Here and not in the main loop: it lets the client read the answer, which may take seconds.
        conn.close(graceful=True)
        return False

    def handle_request(self, req: Any, conn: Connection) -> bool:
        """Answer it; who reads the answer too slowly is let go."""
        conn.sock.settimeout(SEND_SECONDS)
        return bool(super().handle_request(req, conn))

    def _keepalive_after(self, conn: Connection, keepalive: bool) -> bool:  # noqa: FBT001 - gunicorn's
        # What is left of a large body, refused for its length, is not worth a thread's time.
        return not conn.large and bool(super()._keepalive_after(conn, keepalive))

    def finish_request(self, conn: Connection, fs: Future[Any]) -> None:
        """Keep or close the connection, and let the next upload in."""
        if conn.large:
            conn.large = False
            self._free_for_large += 1
            if self._large_waiting:
                self._free_for_large -= 1
                self.enqueue_req(self._large_waiting.popleft())
        if fs.cancelled() or fs.exception() is not None or not fs.result():
            self.nr_conns -= 1
            conn.close()
            return
        # Bytes of the next request that came along with this one.
        held = conn.parser.unreader.take_buffered()
        if held and self.alive:
            self._gather(conn, held)
        else:
            super().finish_request(conn, fs)
