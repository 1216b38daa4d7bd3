"""``python -m skinapp.probe web|heartbeat``: the health checks of the containers.

Only the standard library, because it runs every few seconds beside the process that it asks.
"""

from __future__ import annotations

import http.client
import os
import sys
import time
from pathlib import Path

_OLDEST_SECONDS = 60.0
_WAIT_SECONDS = 5.0
_WELL = 200


def main(arguments: list[str]) -> int:
    """Ask once; return 0 when all is well, else 1 after a sentence on the standard error."""
    if arguments == ["web"]:
        fault = ask_web(int(os.environ.get("PORT", "8000")), _own_host())
    elif arguments == ["heartbeat"]:
        fault = ask_heartbeat(Path(os.environ["HEARTBEAT_FILE"]))
    else:
        fault = "ask for web or heartbeat"
    if fault:
        print(fault, file=sys.stderr)  # noqa: T201 - the command's own words
    return 1 if fault else 0


def ask_web(port: int, host: str) -> str:
    """Return what is wrong with the web server on this machine, or nothing."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_WAIT_SECONDS)
    try:
        connection.request("GET", "/healthz", headers={"Host": host})
        status = connection.getresponse().status
    except OSError as error:
        return f"the web server does not answer: {error}"
    finally:
        connection.close()
    return "" if status == _WELL else f"the web server answers {status}"


def ask_heartbeat(path: Path) -> str:
    """Return what is wrong with the process that touches ``path``, or nothing."""
    try:
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return f"there is no {path}: the process has not started"
    return "" if age < _OLDEST_SECONDS else f"{path} was last touched {int(age)} s ago"


def _own_host() -> str:
    """Return a name that the web server answers to."""
    first = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
    return first.removeprefix(".")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
