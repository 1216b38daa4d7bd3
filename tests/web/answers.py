"""Comparing what different people are told."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(r"[A-Za-z0-9]{64}")


def text_of(response: Any) -> str:
    """Return a page's text without the CSRF token, whose mask is drawn anew for each answer."""
    return _TOKEN.sub("", response.content.decode())
