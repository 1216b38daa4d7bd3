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
        milliseconds) and ``per_s``; ``pages`` (p95 in milliseconds ``idle`` and ``crowded``); and
        ``flask`` (``per_s``, p50 and p95), or ``flask_missing``.
    """
    uploads, crowd = (10, 20) if quick else (40, 50)
    with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as temporary:
        Path(temporary).chmod(0o711)
        with running_installation(Path(temporary) / "var", port=8600) as site:
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
            # Nothing runs: the pages' own time.
            alone = _pages(clinician, 20)
            everybody = [_Clinician(site) for _ in range(_SIGNED_IN)]
            pictures = [_picture("dermoscopy", 2_000 + seed) for seed in range(crowd)]
            with ThreadPoolExecutor(crowd) as pool:
                sent = [
                    pool.submit(_upload, everybody[n % _SIGNED_IN], patient, picture, "dermoscopy")
                    for n, picture in enumerate(pictures)
                ]
                beside = _pages(clinician, 10)
                times = [one.result() for one in sent]
            # All began at once, so the last answer ends it.
            crowded = _told(times) | {
                "per_s": round(crowd / max(answered / 1e3 for _, answered in times), 2)
            }
    found: dict[str, Any] = {
        "uploads": uploads,
        "crowd_size": crowd,
        "idle": idle,
        "crowd": crowded,
        "pages": {"idle": alone, "crowded": beside},
    }
    try:
        found["flask"] = measure_prototype(pictures, senders=min(crowd, 8))
    except PrototypeError as error:
        found["flask_missing"] = str(error)
    return found


def _told(times: Sequence[tuple[float, float]]) -> dict[str, Any]:
    posted, answered = zip(*times, strict=True)
    return {"posted": _percentiles(posted), "answered": _percentiles(answered)}


def _percentiles(values: Sequence[float]) -> list[float]:
    """Return the median and the 95th percentile."""
    return [round(float(value), 1) for value in np.percentile(values, [50, 95])]


def _pages(clinician: _Clinician, rounds: int) -> float:
    """Return the 95th percentile of a page's milliseconds, the worklist and the history in turn."""
    taken = []
    for _ in range(rounds):
        for path in ("/", "/history/"):
            began = time.perf_counter()
            clinician.get(path)
            taken.append((time.perf_counter() - began) * 1e3)
    return _percentiles(taken)[1]


def values(found: Mapping[str, Any]) -> dict[str, float]:
    """Return the values of the targets: of the modality that does worse."""
    told = {
        "answer": max(one["answered"][1] for one in found["idle"].values()),
    }
    if "flask" in found:
        told["flask"] = found["crowd"]["per_s"] / found["flask"]["per_s"]
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
            "Worklist and history while these are sent and worked off: p95 "
            f"{found['pages']['crowded']:.0f} ms, idle {found['pages']['idle']:.0f} ms."
        ),
        "",
    ]
    if "flask" in found:
        flask = found["flask"]
        lines.append(
            f"All of it, upload to answer, {found['crowd']['per_s']:.1f} a second. The prototype "
            "(bench/prototype.py under gunicorn: `model.predict` on one image inside the request, "
            f"same network, same images) answers {flask['per_s']:.1f} a second, p50 "
            f"{flask['p50']:.0f} ms, p95 {flask['p95']:.0f} ms; it stores nothing, signs nobody in "
            "and cuts no copies."
        )
    else:
        lines.append(f"The Flask prototype was not measured: {found['flask_missing']}")
    return "\n".join(lines)


def _patient(clinician: _Clinician) -> str:
    found = re.search(r'href="(/patients/[0-9a-f-]{36}/)"', clinician.get("/patients/"))
    if found is None:
        msg = "The demo clinic has no patient."
        raise RuntimeError(msg)
    return found.group(1)


def _settle(clinician: _Clinician) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while re.search(r"/analyses/[0-9a-f-]{36}/", clinician.get("/?tab=waiting")):
        if time.monotonic() > deadline:
            msg = "The worker does not answer."
            raise RuntimeError(msg)
        time.sleep(0.5)


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
    told: dict[str, Any] = json.loads(
        clinician.post(f"{patient}images/new/", {"modality": modality}, picture)
    )
    posted = time.perf_counter()
    address = str(told["files"][0]["analysis_url"])
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while "Your own reading" not in clinician.get(address):
        if time.monotonic() > deadline:
            msg = "The worker does not answer."
            raise RuntimeError(msg)
        time.sleep(poll)
    return (posted - began) * 1e3, (time.perf_counter() - began) * 1e3
