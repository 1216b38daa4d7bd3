"""Clinicians who upload drawn images, and again when no answer came."""

from __future__ import annotations

import hashlib
import http.client
import http.cookiejar
import io
import json
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import ImageChops

from mlcore.drawing import draw_clinical, draw_dermoscopy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.chaos.site import Site

EMAIL = "clinician@demo.example"
_SIZE = (480, 360)
_BASES = 8
_TIMEOUT = 60.0
_PAUSE = 0.3
_GLANCE = 0.05
_REFUSED = range(400, 500)


@dataclass(frozen=True)
class Upload:
    """One image to be sent.

    Attributes:
        number: its number in the run.
        modality: which network looks at it.
        data: the JPEG file.
        sha256: of ``data``.
    """

    number: int
    modality: str
    data: bytes
    sha256: str


def drawn_uploads(count: int, *, seed: int) -> Iterator[Upload]:
    """Draw a few pictures and shift them, so that no two files are the same."""
    bases = {
        "dermoscopy": [draw_dermoscopy("nevus", seed=seed + n, size=_SIZE) for n in range(_BASES)],
        "clinical": [draw_clinical("acne", seed=seed + n, size=_SIZE) for n in range(_BASES)],
    }
    for number in range(count):
        modality = "clinical" if number % 4 == 3 else "dermoscopy"  # noqa: PLR2004 - every fourth
        picture = ImageChops.offset(
            bases[modality][number % _BASES], number % _SIZE[0], number // _SIZE[0] * 3
        )
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=88, comment=f"{number}".encode())
        data = buffer.getvalue()
        yield Upload(number, modality, data, hashlib.sha256(data).hexdigest())


class Unanswered(Exception):  # noqa: N818 - an outcome, not a mistake
    """The connection broke, or nothing came within the time: nobody knows what became of it."""


class Clinician:
    """A signed-in person without a browser."""

    def __init__(self, site: Site) -> None:
        """Sign in."""
        self._address = site.address
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self.get("/accounts/login/")
        fields = {"login": EMAIL, "password": site.password}
        self._send("/accounts/login/", urllib.parse.urlencode(fields | self._token()).encode(), {})

    def get(self, path: str) -> tuple[int, str]:
        """Return status and text of a page.

        Raises:
            Unanswered: no answer came.
        """
        return self._send(path, None, {})

    def upload(self, patient: str, upload: Upload) -> tuple[int, dict[str, Any]]:
        """Send an image; return the status and what was said of the file, if anything was.

        Raises:
            Unanswered: no answer came.
        """
        path = f"{patient}images/new/"
        boundary = uuid.uuid4().hex
        fields = self._token() | {"modality": upload.modality}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f"--{boundary}\r\nContent-Disposition: form-data; "
            'name="images"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = "".join(parts).encode() + upload.data + f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "Accept": "application/json",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
        }
        status, text = self._send(path, body, headers)
        try:
            told: dict[str, Any] = json.loads(text)["files"][0]
        except (ValueError, KeyError, TypeError):
            told = {}
        return status, told

    def _token(self) -> dict[str, str]:
        token = next(c.value or "" for c in self._cookies if "csrf" in c.name)
        return {"csrfmiddlewaretoken": token}

    def _send(self, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, str]:
        address = self._address + path
        headers = {"Referer": address} | headers
        request = urllib.request.Request(address, body, headers)  # noqa: S310 - our own address
        try:
            with self._opener.open(request, timeout=_TIMEOUT) as answer:
                return int(answer.status), answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, ""
        except (OSError, http.client.HTTPException) as error:
            raise Unanswered from error


@dataclass(frozen=True)
class Exchange:
    """One request, as who sent it saw it.

    Attributes:
        began: when it was sent, in seconds of the epoch.
        ended: when its answer was there or its connection broke.
        answered: whether there was an answer, of whatever status.
    """

    began: float
    ended: float
    answered: bool


@dataclass
class Uploads:
    """Several clinicians at once, each with the next image, until all are accepted.

    They go no further than :meth:`allow` lets them, so that there is something left to send when
    the next damage is done.

    Attributes:
        site: where they are sent.
        accepted: analysis by the SHA-256 of what was sent, for every upload answered with success.
        outcomes: how often which status was answered; "no answer" where the connection broke.
        refusals: what was refused for good, which nothing here should be.
        exchanges: every request.
    """

    site: Site
    uploads: Iterator[Upload]
    patients: list[str]
    accepted: dict[str, str] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    refusals: list[str] = field(default_factory=list)
    exchanges: list[Exchange] = field(default_factory=list)
    _given: int = 0
    _allowed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self, *, people: int) -> None:
        """Let so many people begin."""
        clinicians = [Clinician(self.site) for _number in range(people)]
        for clinician in clinicians:
            thread = threading.Thread(target=self._work, args=(clinician,), daemon=True)
            self._threads.append(thread)
            thread.start()

    @property
    def at_work(self) -> bool:
        """Whether anybody still uploads."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def done(self) -> int:
        """How many were accepted or refused for good."""
        return len(self.accepted) + len(self.refusals)

    @property
    def in_hand(self) -> int:
        """How many are being sent at this moment, or again and again."""
        with self._lock:
            return self._given - self.done

    def allow(self, number: int) -> None:
        """Let so many be sent in all."""
        with self._lock:
            self._allowed = number

    def allow_more(self, number: int) -> None:
        """Let so many be sent beyond those that were."""
        with self._lock:
            self._allowed = max(self._allowed, self._given + number)

    def stop(self) -> None:
        """Let everybody finish the request at hand and go."""
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _work(self, clinician: Clinician) -> None:
        while not self._end.is_set():
            with self._lock:
                waits = self._given >= self._allowed
                upload = None if waits else next(self.uploads, None)
                self._given += upload is not None
            if waits:
                self._end.wait(_GLANCE)
                continue
            if upload is None:
                return
            self._insist(clinician, upload)

    def _insist(self, clinician: Clinician, upload: Upload) -> None:
        """Send one image until it is accepted or refused for good."""
        patient = self.patients[upload.number % len(self.patients)]
        while not self._end.is_set():
            began = time.time()
            try:
                status, told = clinician.upload(patient, upload)
            except Unanswered:
                self._count("no answer", Exchange(began, time.time(), answered=False))
                self._end.wait(_PAUSE)
                continue
            self._count(str(status), Exchange(began, time.time(), answered=True))
            found = re.search(r"[0-9a-f]{8}-[0-9a-f-]{27}", str(told.get("analysis_url", "")))
            if status == http.HTTPStatus.OK and found is not None:
                with self._lock:
                    self.accepted[upload.sha256] = found[0]
                # Somebody looks at the page now and then.
                if upload.number % 10 == 0:
                    self._look(clinician, f"/analyses/{found[0]}/")
                return
            if status in _REFUSED and status != http.HTTPStatus.TOO_MANY_REQUESTS:
                with self._lock:
                    self.refusals.append(f"{status} {told.get('message', '')}".strip())
                return
            self._end.wait(_PAUSE)

    def _look(self, clinician: Clinician, path: str) -> None:
        began = time.time()
        try:
            status, _text = clinician.get(path)
        except Unanswered:
            self._count("page: no answer", Exchange(began, time.time(), answered=False))
            return
        self._count(f"page: {status}", Exchange(began, time.time(), answered=True))

    def _count(self, outcome: str, exchange: Exchange) -> None:
        with self._lock:
            self.outcomes[outcome] += 1
            self.exchanges.append(exchange)


def patients_of(site: Site) -> list[str]:
    """Return the addresses of the registered patients, in a fixed order."""
    rows = site.ask("SELECT id FROM classifier_patient ORDER BY record_number")
    return [f"/patients/{key}/" for (key,) in rows]
