"""Sending to an address that somebody entered, without being led anywhere else.

The application runs inside a hospital: an address may name a machine that only this one reaches.
So a name is resolved here, every address it stands for is judged, and the connection is opened to
the very address that was judged: a name that answers differently a moment later leads nowhere.
Redirects are not followed, and no proxy of the environment is asked.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from django.conf import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from _typeshed import ReadableBuffer, WriteableBuffer

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_HTTPS = 443
_LONGEST_URL = 500
# For a name: a resolver that says nothing would be asked for half a minute and more.
_NAME_SECONDS = 5.0
# IPv4 addresses that travel inside IPv6 ones (RFC 6052).
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class TargetError(ValueError):
    """The address may not be sent to.

    Attributes:
        code: ``not_https``, ``no_host``, ``with_password``, ``too_long``, ``unknown_host`` or
            ``inside``.
    """

    def __init__(self, code: str) -> None:
        """Keep the code."""
        self.code = code
        super().__init__(code)


def check_url(url: str) -> tuple[str, int, str]:
    """Take an address apart.

    Returns:
        Host, port, and path with query.

    Raises:
        TargetError: it is no https address that can be sent to.
    """
    if len(url) > _LONGEST_URL:
        raise TargetError("too_long")
    if any(ord(letter) <= ord(" ") or ord(letter) > ord("~") for letter in url):
        raise TargetError("no_host")
    try:
        parts = urlsplit(url)
        port = parts.port or _HTTPS
    except ValueError as error:
        raise TargetError("no_host") from error
    if parts.scheme != "https":
        raise TargetError("not_https")
    if parts.username is not None or parts.password is not None:
        raise TargetError("with_password")
    if not parts.hostname:
        raise TargetError("no_host")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.hostname, port, path


def judged_addresses(host: str, port: int, *, seconds: float = _NAME_SECONDS) -> list[str]:
    """Return the addresses that a name stands for, all of which may be sent to.

    Raises:
        TargetError: the name is unknown, nobody knows it in time, or one of its addresses lies
            inside.
    """
    try:
        addresses = _looked_up(host, port, seconds)
    except (OSError, UnicodeError) as error:
        raise TargetError("unknown_host") from error
    if not addresses or not all(may_be_sent_to(address) for address in addresses):
        raise TargetError("inside" if addresses else "unknown_host")
    return addresses


def _looked_up(host: str, port: int, seconds: float) -> list[str]:
    """Ask for a name in a thread: the resolver takes no limit, and nothing interrupts it."""
    answer: Future[list[str]] = Future()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.set_result(list(dict.fromkeys(str(one[4][0]) for one in found)))
        except Exception as error:  # noqa: BLE001 - raised where it is waited for
            answer.set_exception(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    return answer.result(timeout=seconds)


def may_be_sent_to(text: str) -> bool:
    """Tell whether an IP address is a public one, or one that the settings allow.

    ``WEBHOOK_NETWORKS`` names networks inside that may be sent to.
    """
    try:
        address = _real(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
    for network in settings.WEBHOOK_NETWORKS:
        allowed = ipaddress.ip_network(network)
        if address.version == allowed.version and address in allowed:
            return True
    return address.is_global and not address.is_multicast


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> int:
    """Send a body to an address and return the status of the answer.

    Args:
        url: an https address.
        body: what is sent.
        headers: what is sent along.
        seconds: how long all of it may take, from the name to the answer's head; what answers
            in drips gains nothing.

    Raises:
        TargetError: the address may not be sent to (any more).
        OSError: nobody answers in time, or not by TLS with a certificate for this name.
        http.client.HTTPException: what answers does not speak HTTP.
    """
    until = time.monotonic() + seconds
    host, port, path = check_url(url)
    addresses = judged_addresses(host, port, seconds=seconds)
    connection = _PinnedConnection(host, port, addresses=addresses, until=until)
    try:
        connection.request("POST", path, body=body, headers=dict(headers))
        # Nothing more of the answer is read: its status is all that counts.
        return connection.getresponse().status
    finally:
        connection.close()


class _PinnedConnection(http.client.HTTPSConnection):
    """HTTPS to a host by its name, and to the addresses that were judged."""

    def __init__(self, host: str, port: int, *, addresses: list[str], until: float) -> None:
        super().__init__(host, port, context=_context())
        self._addresses, self._until = addresses, until

    def connect(self) -> None:
        """Open the connection, and look once more where it leads.

        Raises:
            TargetError: it leads inside.
        """
        bare = self._reached()
        try:
            if not may_be_sent_to(str(bare.getpeername()[0])):
                raise TargetError("inside")
            # One limit for the whole handshake.
            bare.settimeout(_left(self._until))
            secure = _context().wrap_socket(bare, server_hostname=self.host)
            self.sock = cast("_TimedSocket", secure)
            self.sock.until = self._until
        except BaseException:
            bare.close()
            raise

    def _reached(self) -> socket.socket:
        last = len(self._addresses) - 1
        for i, address in enumerate(self._addresses[:-1]):
            # Each gets its share of the time, so that the last one has its turn.
            share = _left(self._until) / (last + 1 - i)
            with contextlib.suppress(OSError):
                return socket.create_connection((address, self.port), share)
        return socket.create_connection((self._addresses[last], self.port), _left(self._until))


class _TimedSocket(ssl.SSLSocket):
    """TLS that is over at a moment, and not so long after the last byte."""

    until: float

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Read what comes until then."""
        self.settimeout(_left(self.until))
        return super().recv_into(buffer, nbytes, flags)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Send what can be sent until then; ``sendall`` sends by this."""
        self.settimeout(_left(self.until))
        return super().send(data, flags)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        msg = "the time is over"
        raise TimeoutError(msg)
    return left


def _context() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.WEBHOOK_CA_FILE or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _TimedSocket
    return context


def _real(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one carries, where it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
