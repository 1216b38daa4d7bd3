"""What each page of :mod:`bench.history` costs on one database.

``python -m bench.history_measure`` is one size's own process, because settings name one database;
:mod:`bench.history` lets the sizes take turns, page by page.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.history_pages import Page, pages
from bench.history_plans import plans_of
from bench.history_seed import SUPERUSER, email_of

if TYPE_CHECKING:
    from django.test import Client


def client_of(who: str) -> Client:
    """Return a browser signed in as one of the seeded people, the password just given."""
    from django.test import Client  # noqa: PLC0415 - after setup

    from classifier.models import User  # noqa: PLC0415 - likewise

    user = User.objects.get(email=SUPERUSER if who == "root" else email_of(who))
    client = Client(raise_request_exception=True)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    session["account_authentication_methods"] = [
        {"method": "password", "at": time.time(), "reauthenticated": True}
    ]
    session["account_authentication_methods_user"] = str(user.pk)
    session.save()
    return client


def _busy() -> float:
    """Return the milliseconds of processor time that this process and its PostgreSQL used so far.

    The two take turns, so this is what a page takes where nobody else wants the processors; on a
    busy machine the clock tells of the others. Of a PostgreSQL elsewhere nothing is known.
    """
    from django.db import connection  # noqa: PLC0415 - after setup

    connection.ensure_connection()
    backend = connection.connection.info.backend_pid
    try:
        told = Path(f"/proc/{backend}/schedstat").read_text().split()[0]
    except OSError:
        told = "0"
    return time.process_time() * 1e3 + int(told) / 1e6


def ask(client: Client, page: Page) -> tuple[float, float, int]:
    """Ask for a page and read it to its end.

    Returns:
        Milliseconds by the clock, and of processor time (see :func:`_busy`); rows of its tables
        and items of its lists.

    Raises:
        RuntimeError: it is not answered with 200.
    """
    used, began = _busy(), time.perf_counter()
    response: Any = client.get(page.address)
    whole = b"".join(response) if response.streaming else response.content
    clock, busy = (time.perf_counter() - began) * 1e3, _busy() - used
    if response.status_code != 200:  # noqa: PLR2004 - HTTP's own number
        msg = f"{page.address} answered {response.status_code}"
        raise RuntimeError(msg)
    return clock, busy, whole.count(b"<tr") + whole.count(b"<li")


def _measured(client: Client, page: Page, repeat: int) -> dict[str, Any]:
    times = repeat if page.part != "csv" else max(2, repeat // 5)
    ask(client, page)
    queries, plans = plans_of(lambda: ask(client, page))
    spent = [ask(client, page) for _ in range(times)]
    return {
        "name": page.name,
        "part": page.part,
        "address": page.address,
        "ms": sorted(round(clock, 2) for clock, _busy, _rows in spent),
        "busy": sorted(round(busy, 2) for _clock, busy, _rows in spent),
        "rows": spent[-1][2],
        "queries": queries,
        "plans": plans,
    }


def main() -> int:
    """Measure the database of ``DATABASE_URL``, page by page, as the input asks for them.

    The input's first line is JSON: ``repeat``, how often each page is asked for after two times
    that do not count. The first line of the output is the list of the pages' names; then each line
    of the input names a page and is answered by one with what was measured: ``name``, ``part``,
    ``address``, ``ms`` (by the clock, ascending), ``busy`` (processor time, likewise), ``rows``
    (see :func:`ask`), ``queries`` and ``plans``; or ``name`` and ``error``, where it cannot be had.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django  # noqa: PLC0415 - only a process that measures needs it

    django.setup()
    from django.test.utils import override_settings  # noqa: PLC0415 - after setup

    repeat = int(json.loads(sys.stdin.readline())["repeat"])
    known = {page.name: page for page in pages()}
    # As wsgi.py does.
    gc.freeze()
    clients: dict[str, Client] = {}
    print(json.dumps(list(known)), flush=True)
    with override_settings(CSV_MAX_ROWS=10_000):
        for line in sys.stdin:
            page = known[line.rstrip("\n")]
            client = clients.setdefault(page.who, client_of(page.who))
            try:
                found = _measured(client, page, repeat)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other pages are wanted
                found = {"name": page.name, "error": f"{type(error).__name__}: {error}"[:300]}
            print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
