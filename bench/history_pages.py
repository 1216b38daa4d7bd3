"""The pages of :mod:`bench.history`, and what each of them costs on one database.

``python -m bench.history_pages`` reads what to do from its input as JSON and prints what it
measured, a line of JSON for each page: each size has a process of its own, because settings name
one database.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.history_plans import plans_of
from bench.history_seed import SUPERUSER, email_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.test import Client


@dataclass(frozen=True)
class Page:
    """One address as one person asks for it.

    Attributes:
        name: of the row in the table.
        who: one of ``PEOPLE``, or "root".
        address: what is asked for.
        part: "worklist", "history", "patients", "record", "trail", "csv" or "admin".
    """

    name: str
    who: str
    address: str
    part: str


def pages() -> list[Page]:
    """Return all pages, for the database that the settings name."""
    found: list[Page] = []
    for who in ("one", "five", "small"):
        found += _lists_of(who)
    return [*found, *_records(), *_trail(), *_admin(), _csv()]


def _lists_of(who: str) -> list[Page]:
    worklist = {
        "to review": "/",
        "deferred": "/?tab=deferred",
        "waiting": "/?tab=waiting",
        "failed": "/?tab=failed",
    }
    patients = {
        "all": "/patients/",
        "a name": "/patients/?q=Maria",
        "two names": "/patients/?q=maria+sal",
        "a rare name": "/patients/?q=Zo%C3%AB+Zanorioglu",
        "a number": "/patients/?q=MRN-00000017",
        "nobody": "/patients/?q=Xyzzy",
        "two letters": "/patients/?q=ma",
        "with archived": "/patients/?archived=1&q=smith",
    }
    quick = {"quick search": "/patients/search/?q=mari", "one letter": "/patients/search/?q=m"}
    parts = (
        ("worklist", worklist),
        ("history", _history(who)),
        ("patients", patients | quick),
    )
    found = [
        Page(f"{part}: {name} ({who})", who, address, part)
        for part, addresses in parts
        for name, address in addresses.items()
    ]
    deep = {"worklist": "/?cursor={}", "history": "/history/?cursor={}"}
    for part, address in deep.items():
        for direction in ("after", "before"):
            cursor = _deep_cursor(who, part, direction)
            if cursor:
                found.append(
                    Page(f"{part}: deep, {direction} ({who})", who, address.format(cursor), part)
                )
    return found


def _history(who: str) -> dict[str, str]:
    """Return the history's filters, each alone and those that meet in one question."""
    from classifier.models import Clinic, ModelVersion, User  # noqa: PLC0415 - after setup

    user = User.objects.get(email=email_of(who))
    first = ModelVersion.objects.get(label_set="isic9", version="1.0.0").pk
    last = ModelVersion.objects.get(label_set="isic9", version="1.3.0").pk
    colleague = (
        User.objects.filter(
            email__startswith="member3@", clinics__in=Clinic.objects.filter(memberships__user=user)
        )
        .order_by("email")
        .values_list("pk", flat=True)[0]
    )
    clinic = Clinic.objects.visible_to(user).order_by("name").values_list("pk", flat=True)[0]
    month, old = "since=2026-10-20", "until=2019-12-31"
    queries = {
        "all": "",
        "label": "label=melanoma",
        "rare label": "label=vascular_lesion",
        "decision": "decision=cannot_say",
        "modality": "modality=clinical",
        "done": "state=succeeded",
        "rejected": "state=rejected",
        "failed": "state=failed",
        "cancelled": "state=cancelled",
        "queued": "state=queued",
        "needs review": "review=pending",
        "deferred": "review=deferred",
        "newest version": f"version={last}",
        "oldest version": f"version={first}",
        "reviewer": f"reviewer={colleague}",
        "clinic": f"clinic={clinic}",
        "since": month,
        "until": old,
        "name": "q=Maria",
        "rare name": "q=zoe+zanorioglu",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "label, decision": "label=melanoma&decision=answer",
        "label, until": f"label=melanoma&{old}",
        "label, oldest version": f"label=melanoma&version={first}",
        "label of the other modality": "label=nevus&modality=clinical",
        "modality, needs review": "modality=clinical&review=pending",
        "oldest version, since": f"version={first}&{month}",
        "oldest version, needs review": f"version={first}&review=pending",
        "reviewer, label": f"reviewer={colleague}&label=dermatofibroma",
        "reviewer, rejected, until": f"reviewer={colleague}&state=rejected&{old}",
        "reviewer, deferred": f"reviewer={colleague}&review=deferred",
        "done, cannot say": "state=succeeded&decision=rejected",
        "name, label": "q=Maria&label=melanoma",
        "name, oldest version": f"q=maria&version={first}",
        "everything": (
            f"q=maria&label=melanoma&decision=answer&modality=dermoscopy&state=succeeded"
            f"&review=reviewed&version={first}&reviewer={colleague}&clinic={clinic}&{old}"
        ),
    }
    return {name: f"/history/?{query}".rstrip("?") for name, query in queries.items()}


def _deep_cursor(who: str, part: str, direction: str) -> str:
    """Return a cursor of the middle of a list."""
    from classifier.models import Analysis, User  # noqa: PLC0415 - after setup

    user = User.objects.get(email=email_of(who))
    clinic = user.clinics.order_by("name").values_list("pk", flat=True)[0]
    rows = Analysis.objects.filter(clinic=clinic)
    if part == "worklist":
        rows = rows.needing_review()
    count = rows.count()
    middle = rows.values_list("pk", flat=True)[count // 2 : count // 2 + 1]
    return f"{direction}.{middle[0]}" if middle else ""


def _records() -> list[Page]:
    from classifier.choices import ReviewState, State  # noqa: PLC0415 - after setup
    from classifier.models import Analysis, Patient  # noqa: PLC0415 - likewise

    # The first patient has hundreds of images, the last one a few.
    often = Patient.objects.get(record_number="MRN-00000001")
    rarely = Patient.objects.filter(clinic=often.clinic).order_by("-record_number")[0]
    lesion = often.lesions.order_by("label").values_list("pk", flat=True)[0]
    rows = Analysis.objects.filter(clinic=rarely.clinic, state=State.SUCCEEDED)
    reviewed = rows.filter(review_state=ReviewState.REVIEWED).values_list("pk", flat=True)[0]
    pending = rows.filter(review_state=ReviewState.PENDING).values_list("pk", flat=True)[0]
    addresses = {
        "patient with many images": often.get_absolute_url(),
        "lesion": f"{often.get_absolute_url()}?lesion={lesion}",
        "patient with few images": rarely.get_absolute_url(),
        "patient's changes": f"{often.get_absolute_url()}changes/",
        "patient's history": f"/history/?patient={often.pk}",
        "result": f"/analyses/{reviewed}/",
        "result to be read": f"/analyses/{pending}/",
        "upload": f"{rarely.get_absolute_url()}images/new/",
        "new analysis": "/analyses/new/?q=mari",
    }
    return [Page(f"record: {n}", "one", address, "record") for n, address in addresses.items()]


def _trail() -> list[Page]:
    from classifier.models import Patient, User  # noqa: PLC0415 - after setup

    member = User.objects.get(email="member3@clinic0.example").pk
    patient = Patient.objects.get(record_number="MRN-00000001").pk
    month, old = "since=2026-10-20", "until=2019-12-31"
    queries = {
        "all": "",
        "person": f"person={member}",
        "action": "action=review.saved",
        "rare action": "action=patient.exported",
        "action that never was": "action=patient.erased",
        "patient": f"patient={patient}",
        "since": month,
        "until": old,
        "person, action": f"person={member}&action=sign_in.done",
        "person, rare action": f"person={member}&action=patient.exported",
        "person, action, until": f"person={member}&action=review.saved&{old}",
        "patient, action": f"patient={patient}&action=patient.exported",
        "installation": "scope=installation",
    }
    return [
        Page(f"trail: {name} ({who})", who, f"/audit/?{query}".rstrip("?"), "trail")
        for who in ("one", "small")
        for name, query in queries.items()
        # That person works in the big clinic alone.
        if who == "one" or "person" not in query
    ]


_ADMIN_QUERIES: dict[str, dict[str, str]] = {
    "analysis": {
        "failed": "state__exact=failed",
        "label set": "label_set__exact=clinical5",
        "decision": "decision__exact=cannot_say",
        "needs review": "review_state__exact=pending",
        "clinic": "clinic__id__exact={clinic}",
        "clinic, failed": "clinic__id__exact={clinic}&state__exact=failed",
        "name": "q=maria",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "key": "q={analysis}",
        "deep": "p=20",
    },
    "prediction": {
        "decision": "decision__exact=cannot_say",
        "oldest version": "model_version__id__exact={version}",
        "clinic": "clinic__id__exact={clinic}",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "reading": {
        "clinic": "clinic__id__exact={clinic}",
        "blinded": "blinded__exact=0",
        "person": "q=member3@clinic0.example",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "review": {
        "verdict": "verdict__exact=overrule",
        "clinic": "clinic__id__exact={clinic}",
        "person": "q=member3@clinic0.example",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "auditevent": {
        "actor": "actor_kind__exact=system",
        "action": "action=patient.exported",
        "clinic": "clinic__id__exact={clinic}",
        "subject": "q={analysis}",
        "person": "q=member3@clinic0.example",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "patient": {
        "archived": "archived__exact=1",
        "clinic": "clinic__id__exact={clinic}",
        "name": "q=maria",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "lesion": {
        "site": "body_site__exact=back",
        "clinic": "clinic__id__exact={clinic}",
        "name": "q=maria",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
    },
    "image": {
        "modality": "modality__exact=clinical",
        "clinic": "clinic__id__exact={clinic}",
        "name": "q=maria",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
        "deep": "p=20",
    },
    "consent": {
        "use": "use__exact=research",
        "given": "given__exact=0",
        "clinic": "clinic__id__exact={clinic}",
        "number": "q=MRN-00000017",
        "nobody": "q=xyzzy",
    },
    "erasure": {},
    "breakglass": {},
    "user": {"search": "q=member3"},
    "membership": {"search": "q=member3"},
    "clinic": {},
    "modelversion": {},
}


def _admin() -> list[Page]:
    from classifier.models import Analysis, Clinic, ModelVersion  # noqa: PLC0415 - after setup

    big = Clinic.objects.get(name="Clinic 00").pk
    facts = {
        "clinic": Clinic.objects.get(name="Clinic 05").pk,
        "version": ModelVersion.objects.get(label_set="isic9", version="1.0.0").pk,
        "analysis": Analysis.objects.filter(clinic=big).values_list("pk", flat=True)[0],
    }
    return [
        Page(
            f"admin: {model}, {name}",
            "root",
            f"/admin/classifier/{model}/?{query.format(**facts)}".rstrip("?"),
            "admin",
        )
        for model, queries in _ADMIN_QUERIES.items()
        for name, query in ({"all": ""} | queries).items()
    ]


def _csv() -> Page:
    return Page("csv: 10 000 rows (one)", "one", "/history/export.csv", "csv")


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


def ask(client: Client, page: Page) -> tuple[float, float]:
    """Ask for a page and read it to its end.

    Returns:
        Milliseconds by the clock, and of processor time (see :func:`_busy`).

    Raises:
        RuntimeError: it is not answered with 200.
    """
    used, began = _busy(), time.perf_counter()
    response: Any = client.get(page.address)
    if response.streaming:
        for _part in response:
            pass
    spent = (time.perf_counter() - began) * 1e3, _busy() - used
    if response.status_code != 200:  # noqa: PLR2004 - HTTP's own number
        msg = f"{page.address} answered {response.status_code}"
        raise RuntimeError(msg)
    return spent


def measure_pages(
    *, repeat: int, only: Sequence[str] = ("",), explain: bool = True
) -> Iterator[dict[str, Any]]:
    """Measure every page.

    Args:
        repeat: how often each is asked for, after two times that do not count.
        only: pages whose name begins with one of these.
        explain: ask PostgreSQL for the plan of each query as well.

    Yields:
        For each page ``name``, ``part``, ``address``, ``ms`` (by the clock, ascending), ``busy``
        (processor time, likewise), ``queries`` and ``plans``; or ``name`` and ``error``, where it
        cannot be had.
    """
    clients: dict[str, Client] = {}
    for page in pages():
        if not page.name.startswith(tuple(only)):
            continue
        client = clients.setdefault(page.who, client_of(page.who))
        try:
            yield _measured(client, page, repeat, explain=explain)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other pages are wanted
            yield {"name": page.name, "error": f"{type(error).__name__}: {error}"[:300]}


def _measured(client: Client, page: Page, repeat: int, *, explain: bool) -> dict[str, Any]:
    times = repeat if page.part != "csv" else max(2, repeat // 5)
    ask(client, page)
    queries, plans = plans_of(lambda: ask(client, page), explain=explain)
    spent = [ask(client, page) for _ in range(times)]
    return {
        "name": page.name,
        "part": page.part,
        "address": page.address,
        "ms": sorted(round(clock, 2) for clock, _busy in spent),
        "busy": sorted(round(busy, 2) for _clock, busy in spent),
        "queries": queries,
        "plans": plans,
    }


def main() -> int:
    """Measure the database of ``DATABASE_URL``; print a line of JSON for each page."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "skinapp.settings.test")
    import django  # noqa: PLC0415 - only a process that measures needs it

    django.setup()
    from django.test.utils import override_settings  # noqa: PLC0415 - after setup

    asked = json.loads(sys.stdin.read() or "{}")
    with override_settings(CSV_MAX_ROWS=10_000):
        for found in measure_pages(**asked):
            print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
