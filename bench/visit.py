"""From the click on "Send" to the answer, over HTTP, on an idle installation with a real worker."""

from __future__ import annotations

import http.cookiejar
import io
import json
import re
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from bench.processor import spent
from bench.prototype_load import PrototypeError, measure_prototype
from mlcore.drawing import draw_clinical, draw_dermoscopy
from tests.browser.installation import running_installation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.browser.installation import Installation

_EMAIL = "clinician@demo.example"
_POLL_SECONDS = 0.02
# A page that waits asks about twice a second.
_CROWD_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120.0
_SIGNED_IN = 5
# One account sends what a department does.
_MANY_UPLOADS = {"UPLOAD_REQUESTS_PER_MINUTE": "100000"}
# Rounds of pages asked for while the worker works off a queue, and how long the queue is.
_ROUNDS, _QUEUED = 40, 1_200
_FILL = f"""
from bench.memory_rows import fill
from classifier.services.analyses import wake_worker
fill({_QUEUED}); wake_worker()
"""
# Who sends one picture after the other, here and to the prototype.
_SENDERS = 8


class _Clinician:
    """A signed-in person without a browser."""

    def __init__(self, site: Installation) -> None:
        """Sign in."""
        self._site = site
        self._cookies = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self._cookies)
        )
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"login": _EMAIL, "password": site.password})

    def get(self, path: str) -> str:
        """Return a page."""
        with self._opener.open(self._site.address + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, fields: dict[str, str], file: bytes | None = None) -> str:
        """Send a form, with a picture where one is given."""
        token = next(c.value or "" for c in self._cookies if "csrf" in c.name)
        headers = {"Accept": "application/json", "Referer": self._site.address + path}
        fields = {"csrfmiddlewaretoken": token} | fields
        if file is None:
            body = urllib.parse.urlencode(fields).encode()
        else:
            boundary = uuid.uuid4().hex
            headers["Content-Type"] = f"multipart/form-data; boundary={boundary}"
            parts = [
                f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                for name, value in fields.items()
            ]
            head = (
                f"--{boundary}\r\nContent-Disposition: form-data; "
                'name="images"; filename="x.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
            )
            body = (
                "".join(parts).encode() + head.encode() + file + f"\r\n--{boundary}--\r\n".encode()
            )
        request = urllib.request.Request(self._site.address + path, body, headers)  # noqa: S310 - our own address
        with self._opener.open(request, timeout=30) as answer:
            return str(answer.read().decode())


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure uploads one after the other, many at once, and the prototype beside them.

    Args:
        quick: 10 uploads of each modality instead of 40, and 20 at once instead of 50.

    Returns:
        ``idle`` by modality and ``crowd``, each with ``posted`` and ``answered`` (p50 and p95 in
        milliseconds); ``stream`` (``per_s``: images taken in, answered and looked at; ``shares``:
        milliseconds of processor time an image, by part of the application); ``pages`` (p95 in
        milliseconds ``idle``, ``saturated`` by a queue and ``crowded`` by uploads); and ``flask``
        (``per_s``, p50 and p95), or ``flask_missing``.
    """
    uploads, crowd = (10, 20) if quick else (40, 50)
    with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as temporary:
        Path(temporary).chmod(0o711)
        with running_installation(
            Path(temporary) / "var", port=8600, settings=_MANY_UPLOADS
        ) as site:
            clinician = _Clinician(site)
            patient = _patient(clinician)
            _settle(clinician)
            idle = {}
            for modality in ("dermoscopy", "clinical"):
                _upload(clinician, patient, _picture(modality, 1_000), modality)
                pictures = [_picture(modality, seed) for seed in range(uploads)]
                idle[modality] = _told(
                    [_upload(clinician, patient, picture, modality) for picture in pictures]
                )
            alone, saturated = _beside_a_queue(site, clinician)
            everybody = [_Clinician(site) for _ in range(_SIGNED_IN)]
            pictures = [_picture("dermoscopy", 2_000 + seed) for seed in range(crowd)]
            with ThreadPoolExecutor(crowd) as pool:
                sent = [
                    pool.submit(
                        _upload,
                        *(everybody[n % _SIGNED_IN], patient, picture, "dermoscopy"),
                        poll=_CROWD_POLL_SECONDS,
                    )
                    for n, picture in enumerate(pictures)
                ]
                beside = _pages(clinician, 10)
                times = [one.result() for one in sent]
            stream = [_picture("dermoscopy", 3_000 + seed) for seed in range(2 * crowd)]
            before = spent()
            per_s = round(_stream(everybody, patient, stream), 2)
            shares = {
                part: round((taken - before.get(part, 0.0)) / len(stream), 1)
                for part, taken in spent().items()
            }
    found: dict[str, Any] = {
        "uploads": uploads,
        "crowd_size": crowd,
        "idle": idle,
        "crowd": _told(times),
        "stream": {"images": len(stream), "senders": _SENDERS, "per_s": per_s, "shares": shares},
        "pages": {"idle": alone, "crowded": beside, "saturated": saturated},
    }
    try:
        found["flask"] = measure_prototype(stream, senders=_SENDERS)
    except PrototypeError as error:
        found["flask_missing"] = str(error)
    return found


def _beside_a_queue(site: Installation, clinician: _Clinician) -> tuple[float, float]:
    """Return the 95th percentiles of pages where nothing runs and where the worker always does."""
    _pages(clinician, 10)
    # Half of the idle rounds before and half after: the machine is shared.
    idle = _page_times(clinician, _ROUNDS // 2)
    site.manage("shell", "-v0", "-c", _FILL)
    busy: list[float] = []
    while len(busy) < 2 * _ROUNDS:
        busy += _page_times(clinician, 1)
        if not _waiting(clinician):
            msg = f"The queue of {_QUEUED} ended before {_ROUNDS} rounds of pages were asked for."
            raise RuntimeError(msg)
    _settle(clinician)
    idle += _page_times(clinician, _ROUNDS // 2)
    return _percentiles(idle)[1], _percentiles(busy)[1]


def _stream(everybody: Sequence[_Clinician], patient: str, pictures: Sequence[bytes]) -> float:
    """Return images a second, from the first byte sent until the last answer was seen."""

    def work(number: int) -> None:
        clinician = everybody[number % len(everybody)]
        addresses = [
            _send(clinician, patient, picture, "dermoscopy")
            for picture in pictures[number::_SENDERS]
        ]
        for address in addresses:
            _see(clinician, address, _CROWD_POLL_SECONDS)

    began = time.perf_counter()
    with ThreadPoolExecutor(_SENDERS) as pool:
        for done in [pool.submit(work, number) for number in range(_SENDERS)]:
            done.result()
    return len(pictures) / (time.perf_counter() - began)


def _told(times: Sequence[tuple[float, float]]) -> dict[str, Any]:
    posted, answered = zip(*times, strict=True)
    return {"posted": _percentiles(posted), "answered": _percentiles(answered)}


def _percentiles(values: Sequence[float]) -> list[float]:
    """Return the median and the 95th percentile."""
    return [round(float(value), 1) for value in np.percentile(values, [50, 95])]


def _pages(clinician: _Clinician, rounds: int) -> float:
    """Return the 95th percentile of a page's milliseconds, the worklist and the history in turn."""
    return _percentiles(_page_times(clinician, rounds))[1]


def _page_times(clinician: _Clinician, rounds: int) -> list[float]:
    taken = []
    for _ in range(rounds):
        for path in ("/", "/history/"):
            began = time.perf_counter()
            clinician.get(path)
            taken.append((time.perf_counter() - began) * 1e3)
    return taken


def values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of the targets: of the modality that does worse."""
    told = {
        "answer": max(one["answered"][1] for one in found["idle"].values()),
    }
    # Results of before there was this measurement have none.
    if "saturated" in found["pages"]:
        told["saturated"] = found["pages"]["saturated"] / found["pages"]["idle"]
    if "flask" in found:
        told["flask"] = found["stream"]["per_s"] / found["flask"]["per_s"]
    return told


def render(found: Mapping[str, Any]) -> str:
    """Return the section."""
    rows = {
        f"{modality}, {found['uploads']} one after the other": one
        for modality, one in found["idle"].items()
    } | {f"dermoscopy, {found['crowd_size']} at once": found["crowd"]}
    lines = [
        "## End to end",
        "",
        (
            "One picture of a megapixel over HTTP, from the first byte sent until the form was "
            "answered, and until the answer stands on the page:"
        ),
        "",
        "| uploads | form answered, p50 (p95) | answer on the page, p50 (p95) |",
        "|---|---|---|",
        *(
            f"| {words} | {one['posted'][0]:.0f} ms ({one['posted'][1]:.0f} ms) "
            f"| {one['answered'][0]:.0f} ms ({one['answered'][1]:.0f} ms) |"
            for words, one in rows.items()
        ),
        "",
        (
            f"Worklist and history, p95: {found['pages']['idle']:.0f} ms where nothing runs"
            f"{_saturated(found['pages'])}, "
            f"{found['pages']['crowded']:.0f} ms while {found['crowd_size']} upload at once."
        ),
        "",
    ]
    shares = ", ".join(
        f"{part} {taken:.0f} ms"
        for part, taken in sorted(found["stream"]["shares"].items(), key=lambda one: -one[1])
    )
    if "flask" in found:
        flask = found["flask"]
        lines.append(
            f"Sent by {found['stream']['senders']} people one after the other, "
            f"{found['stream']['per_s']:.1f} images a second are taken in, answered and looked at "
            "on their pages. The prototype (bench/prototype.py under gunicorn: `model.predict` on "
            "one image inside the request, same network, same images, as many senders) answers "
            f"{flask['per_s']:.1f} a second, p50 {flask['p50']:.0f} ms, p95 {flask['p95']:.0f} ms; "
            "it stores nothing, signs nobody in and cuts no copies. Of the processor an image "
            f"takes from ours: {shares}."
        )
    else:
        lines.append(f"The Flask prototype was not measured: {found['flask_missing']}")
    return "\n".join(lines)


def _saturated(pages: Mapping[str, float]) -> str:
    if "saturated" not in pages:
        return ""
    return f", {pages['saturated']:.0f} ms while the worker works off a queue"


def _patient(clinician: _Clinician) -> str:
    found = re.search(r'href="(/patients/[0-9a-f-]{36}/)"', clinician.get("/patients/"))
    if found is None:
        msg = "The demo clinic has no patient."
        raise RuntimeError(msg)
    return found.group(1)


def _settle(clinician: _Clinician) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _waiting(clinician):
        if time.monotonic() > deadline:
            msg = "The worker does not answer."
            raise RuntimeError(msg)
        time.sleep(0.5)


def _waiting(clinician: _Clinician) -> bool:
    return bool(re.search(r"/analyses/[0-9a-f-]{36}/", clinician.get("/?tab=waiting")))


def _picture(modality: str, seed: int) -> bytes:
    """Return a drawn picture of about one megapixel as JPEG."""
    draw = draw_dermoscopy if modality == "dermoscopy" else draw_clinical
    drawn = draw("nevus" if modality == "dermoscopy" else "acne", seed=90_000 + seed)
    buffer = io.BytesIO()
    drawn.resize((1200, 900), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _upload(
    clinician: _Clinician,
    patient: str,
    picture: bytes,
    modality: str,
    poll: float = _POLL_SECONDS,
) -> tuple[float, float]:
    """Return milliseconds until the form was answered, and until the answer was there."""
    began = time.perf_counter()
    address = _send(clinician, patient, picture, modality)
    posted = time.perf_counter()
    _see(clinician, address, poll)
    return (posted - began) * 1e3, (time.perf_counter() - began) * 1e3


def _send(clinician: _Clinician, patient: str, picture: bytes, modality: str) -> str:
    """Return the address of the page that will show the answer."""
    told: dict[str, Any] = json.loads(
        clinician.post(f"{patient}images/new/", {"modality": modality}, picture)
    )
    return str(told["files"][0]["analysis_url"])


def _see(clinician: _Clinician, address: str, poll: float) -> None:
    """Look at a page until the answer stands on it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while "Your own reading" not in clinician.get(address):
        if time.monotonic() > deadline:
            msg = "The worker does not answer."
            raise RuntimeError(msg)
        time.sleep(poll)
