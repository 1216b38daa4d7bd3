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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mlcore.drawing import draw_clinical, draw_dermoscopy
from tests.browser.installation import running_installation

if TYPE_CHECKING:
    from tests.browser.installation import Installation

_EMAIL = "clinician@demo.example"
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


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


def run(*, quick: bool) -> str:
    """Measure uploads one after the other.

    Args:
        quick: 10 uploads of each modality instead of 40.

    Returns:
        A Markdown section.
    """
    uploads = 10 if quick else 40
    lines = [
        "## One upload on an idle installation",
        "",
        "| modality | uploads | form answered, median (p95) | answer on the page, median (p95) |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory(prefix="skinapp-bench-") as temporary:
        Path(temporary).chmod(0o711)
        with running_installation(Path(temporary) / "var", port=8600) as site:
            clinician = _Clinician(site)
            patient = _patient(clinician)
            _settle(clinician)
            for modality in ("dermoscopy", "clinical"):
                posted, answered = zip(
                    *(_upload(clinician, patient, modality, seed) for seed in range(uploads)),
                    strict=True,
                )
                lines.append(f"| {modality} | {uploads} | {_both(posted)} | {_both(answered)} |")
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


def _upload(clinician: _Clinician, patient: str, modality: str, seed: int) -> tuple[float, float]:
    """Return milliseconds until the form was answered, and until the answer was there."""
    picture = _picture(modality, seed)
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
        time.sleep(_POLL_SECONDS)
    return (posted - began) * 1e3, (time.perf_counter() - began) * 1e3


def _both(values: tuple[float, ...]) -> str:
    return f"{np.median(values):.0f} ms ({np.percentile(values, 95):.0f} ms)"
