"""The pages of :mod:`bench.history`; :mod:`bench.history_measure` asks for them."""

from __future__ import annotations

from dataclasses import dataclass

from bench.history_seed import email_of


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
