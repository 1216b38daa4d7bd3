"""How values are written to the cache."""

from __future__ import annotations

import json
from typing import Any


class JsonSerializer:
    """JSON in place of pickles, so that whoever writes to the cache's server runs no code here.

    Whole numbers are written as they are, for the server counts with them.
    """

    def dumps(self, value: Any) -> str | int:
        """Return what the server stores."""
        return value if type(value) is int else json.dumps(value)

    def loads(self, stored: bytes) -> Any:
        """Return what was stored.

        Raises:
            ValueError: it is no JSON.
        """
        return json.loads(stored)
