"""Uploads over HTTP: for everybody in the cast, with and without a script."""

from __future__ import annotations

import html
import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from classifier.models import Analysis, Image, Lesion
from tests.web.answered import bare_image
from tests.web.sending import HTML_ONLY, JSON, PDF, assert_nothing_stored, photo, send
from tests.web.uploaded import picture_bytes, stored_files

if TYPE_CHECKING:
    from django.conf import LazySettings

    from classifier.models import User
    from tests.conftest import Cast


# --- The way without a script ------------------------------------------------------------------


@pytest.mark.parametrize("who", ["owner", "colleague", "administrator"])
def test_one_image_leads_to_its_analysis(cast: Cast, who: str) -> None:
    user: User = getattr(cast, who)
    response = send(cast.client_of(user), cast.patient, photo())
    analysis = Analysis.objects.get()
    assert (response.status_code, response["Location"]) == (302, analysis.get_absolute_url())
    assert (analysis.requested_by, analysis.image.uploaded_by) == (user, user)
    assert analysis.image.modality == "dermoscopy"


def test_several_images_lead_to_the_patient_with_a_message(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    files = [photo(seed) for seed in (1, 2, 3)] + [photo(2, "again.jpg")]
    response = send(client, cast.patient, *files)
    assert response["Location"] == cast.patient.get_absolute_url()
    assert Image.objects.count() == Analysis.objects.count() == 3
    page = client.get(response["Location"]).content.decode()
    assert "3 images were added; their analyses are queued." in page
    assert "1 image was in the record already." in page


def test_a_known_image_leads_to_the_existing_analysis(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    first = send(client, cast.patient, photo())
    again = send(client, cast.patient, photo(name="other-name.png"))
    assert again["Location"] == first["Location"]
    assert Analysis.objects.count() == 1


def test_a_known_image_says_where_it_is_filed_when_it_was_sent_for_another_lesion(
    cast: Cast,
) -> None:
    mole, spot = (
        Lesion.objects.create(
            clinic=cast.clinic, patient=cast.patient, label=label, created_by=cast.owner
        )
        for label in ("Mole", "Spot")
    )
    client = cast.client_of(cast.owner)

    def told(**fields: Any) -> str:
        (file,) = json.loads(send(client, cast.patient, photo(), how=JSON, **fields).content)[
            "files"
        ]
        return str(file["message"])

    assert "filed" not in told(lesion=str(mole.pk))
    assert "filed" not in told(lesion=str(mole.pk))
    assert "filed" not in told(lesion="new", lesion_label="Mole")
    for fields in (
        {"lesion": str(spot.pk)},
        {"lesion": ""},
        {"lesion": "new", "lesion_label": "Wart"},
    ):
        sentence = told(**fields)
        assert "filed under the lesion “Mole" in sentence, fields
        assert "Spot" not in sentence
    assert Image.objects.get().lesion == mole
    # The same without a script, and for one that is filed under none.
    page = client.get(send(client, cast.patient, photo(), lesion=str(spot.pk))["Location"])
    assert "filed under the lesion “Mole" in page.content.decode()
    Image.objects.update(lesion=None)
    assert "filed under no lesion" in told(lesion=str(spot.pk))
    several = send(client, cast.patient, photo(), photo(2, "new.jpg"), lesion=str(spot.pk))
    page = client.get(several["Location"])
    assert "1 of them is filed under another lesion" in page.content.decode()


def test_a_refused_file_is_named_with_its_reason(cast: Cast, settings: LazySettings) -> None:
    response = send(cast.client_of(cast.owner), cast.patient, SimpleUploadedFile("scan.pdf", PDF))
    assert response.status_code == 415
    body = response.content.decode()
    assert "scan.pdf" in body
    assert "This is a PDF document." in body
    assert 'value="dermoscopy"' in body
    assert_nothing_stored(settings)


def test_good_files_are_kept_when_others_are_refused(cast: Cast) -> None:
    response = send(
        cast.client_of(cast.owner), cast.patient, photo(), SimpleUploadedFile("scan.pdf", PDF)
    )
    assert response.status_code == 415
    assert Image.objects.count() == 1
    body = response.content.decode()
    assert "1 image is in the record." in body
    assert "scan.pdf" in body


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("images", {"images": []}),
        ("modality", {"modality": ""}),
        ("modality", {"modality": "x-ray"}),
        ("lesion", {"lesion": str(uuid.uuid4())}),
        ("lesion_label", {"lesion": "new", "lesion_label": " "}),
        ("lesion_label", {"lesion": "new", "lesion_label": "x" * 101}),
        ("lesion_label", {"lesion": "", "lesion_label": "Mole"}),
        ("lesion_site", {"lesion": "new", "lesion_label": "Mole", "lesion_site": "moon"}),
        ("taken_at", {"taken_at": "last week"}),
        ("taken_at", {"taken_at": "2999-01-01T00:00"}),
        ("taken_at", {"taken_at": "0001-01-01T00:00"}),
    ],
)
def test_a_wrong_field_is_an_error_at_that_field(
    cast: Cast, settings: LazySettings, field: str, fields: dict[str, Any]
) -> None:
    client = cast.client_of(cast.owner)
    page = send(client, cast.patient, photo(), **fields)
    assert page.status_code == 422
    assert list(page.context["form"].errors) == [field]
    answer = send(client, cast.patient, photo(), how=JSON, **fields)
    assert answer.status_code == 422
    assert list(json.loads(answer.content)["errors"]) == [field]
    assert_nothing_stored(settings)


def test_an_existing_a_new_and_no_lesion(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    existing = Lesion.objects.create(
        clinic=cast.clinic, patient=cast.patient, label="Left cheek", created_by=cast.owner
    )
    send(client, cast.patient, photo(1), lesion=str(existing.pk))
    send(client, cast.patient, photo(2), lesion="new", lesion_label="Nose", lesion_site="face")
    send(client, cast.patient, photo(3))
    labels = Image.objects.order_by("created_at").values_list("lesion__label", flat=True)
    assert list(labels) == ["Left cheek", "Nose", None]
    assert Lesion.objects.get(label="Nose").body_site == "face"


def test_a_new_lesion_of_a_label_that_there_is_at_another_site_is_refused(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    new = {"lesion": "new", "lesion_label": "Mole"}
    send(client, cast.patient, photo(1), **new, lesion_site="back")
    page = send(client, cast.patient, photo(2), **new, lesion_site="face")
    assert page.status_code == 422
    assert "recorded at another site" in str(page.context["form"].errors["lesion_label"])
    assert Image.objects.count() == 1
    # The next file of the same form means the same lesion, and so does who does not say the site.
    send(client, cast.patient, photo(3), **new, lesion_site="back")
    send(client, cast.patient, photo(4), **new)
    assert list(Image.objects.values_list("lesion__body_site", flat=True)) == ["back"] * 3
    assert Lesion.objects.count() == 1


def test_when_it_was_taken_can_be_said(cast: Cast) -> None:
    send(cast.client_of(cast.owner), cast.patient, photo(), taken_at="2024-02-29T13:45")
    taken = Image.objects.get().taken_at
    assert taken is not None
    assert timezone.localtime(taken).strftime("%Y-%m-%d %H:%M") == "2024-02-29 13:45"


# --- The way of the script ---------------------------------------------------------------------


def test_the_script_is_told_about_each_file(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    send(client, cast.patient, photo(1))
    answer = send(
        client,
        cast.patient,
        photo(1, "known.jpg"),
        photo(2, "new.jpg"),
        SimpleUploadedFile("scan.pdf", PDF),
        how=JSON,
    )
    assert answer.status_code == 200
    files = json.loads(answer.content)["files"]
    assert [(file["name"], file["status"]) for file in files] == [
        ("known.jpg", "known"),
        ("new.jpg", "queued"),
        ("scan.pdf", "refused"),
    ]
    urls = {file["analysis_url"] for file in files[:2]}
    assert urls == {analysis.get_absolute_url() for analysis in Analysis.objects.all()}
    assert "PDF" in files[2]["message"]
    assert all(file["message"] for file in files)


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("scan.pdf", PDF, 415),
        ("empty.jpg", b"", 422),
        ("cut.jpg", picture_bytes()[:2000], 422),
    ],
)
def test_a_refusal_is_4xx_for_the_script_too(
    cast: Cast, settings: LazySettings, name: str, data: bytes, status: int
) -> None:
    answer = send(
        cast.client_of(cast.owner), cast.patient, SimpleUploadedFile(name, data), how=JSON
    )
    assert answer.status_code == status
    (file,) = json.loads(answer.content)["files"]
    assert (file["name"], file["status"]) == (name, "refused")
    assert file["message"].endswith(".")
    assert "analysis_url" not in file
    assert_nothing_stored(settings)


def test_a_file_over_the_limit_is_413(cast: Cast, settings: LazySettings) -> None:
    settings.INTAKE_MAX_BYTES = 10_000
    answer = send(
        cast.client_of(cast.owner),
        cast.patient,
        SimpleUploadedFile("big.jpg", b"\xff\xd8\xff" + b"x" * 10_000),
        how=JSON,
    )
    assert answer.status_code == 413
    assert_nothing_stored(settings)


def test_a_body_over_the_limit_is_refused_by_its_declared_length(
    cast: Cast, settings: LazySettings
) -> None:
    settings.REQUEST_MAX_BYTES = 5_000
    for how, kind in ((JSON, "application/json"), (HTML_ONLY, "text/html")):
        answer = send(cast.client_of(cast.owner), cast.patient, photo(), how=how)
        assert answer.status_code == 413
        assert answer["Content-Type"].startswith(kind)
        assert "too large" in answer.content.decode()
    assert_nothing_stored(settings)


def test_too_many_files_are_refused_before_any_is_looked_at(
    cast: Cast, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.INTAKE_MAX_FILES = 3
    monkeypatch.setattr("classifier.intake.accept", lambda _upload: pytest.fail("looked at"))
    files = [SimpleUploadedFile(f"{number}.jpg", b"x") for number in range(4)]
    for how in (JSON, HTML_ONLY):
        answer = send(cast.client_of(cast.owner), cast.patient, *files, how=how)
        assert answer.status_code == 422
        assert "at most 3 at a time" in answer.content.decode()
    assert_nothing_stored(settings)


def test_as_many_files_as_allowed_go_through_at_once(cast: Cast, settings: LazySettings) -> None:
    files = [photo(seed, f"{seed}.jpg") for seed in range(settings.INTAKE_MAX_FILES)]
    answer = send(cast.client_of(cast.owner), cast.patient, *files, how=JSON)
    assert answer.status_code == 200
    assert Analysis.objects.count() == settings.INTAKE_MAX_FILES


def test_an_upload_costs_a_bounded_number_of_queries(cast: Cast) -> None:
    client = cast.client_of(cast.owner)
    send(client, cast.patient, photo(1))
    with CaptureQueriesContext(connection) as one:
        send(client, cast.patient, photo(2))
    for number in range(20):
        bare_image(cast.patient, cast.owner)
        Lesion.objects.create(
            clinic=cast.clinic, patient=cast.patient, label=str(number), created_by=cast.owner
        )
    with CaptureQueriesContext(connection) as later:
        send(client, cast.patient, photo(3))
    assert len(one) == len(later) <= 24


# --- What a name may do --------------------------------------------------------------------------

NAMES = [
    "<img src=x onerror=alert(1)>.jpg",
    '"><script>alert(1)</script>.jpg',
    "'; drop table images; --.jpg",
    "\u202egpj.exe",
    "naïve 😀 名前.jpg",
    "a" * 240 + ".jpg",
    "..%2f..%2fetc%2fpasswd",
    "CON.jpg",
    ".htaccess",
    "photo.php.jpg",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_name_is_only_ever_shown_as_text(
    cast: Cast, settings: LazySettings, name: str
) -> None:
    client = cast.client_of(cast.owner)
    refused = send(client, cast.patient, SimpleUploadedFile(name, PDF))
    body = refused.content.decode()
    assert refused.status_code == 415
    # Django itself drops folders and what cannot be printed (marks that turn the direction).
    shown = "".join(char for char in name.rsplit("/", maxsplit=1)[-1] if char.isprintable())
    assert html.escape(shown) in body
    assert "<script>alert" not in body
    assert "<img src=x" not in body
    response = send(client, cast.patient, photo(name=name))
    assert response.status_code == 302
    key = str(Image.objects.get().pk)
    assert all(path.name.startswith(key) for path in stored_files(settings))


def test_the_limits_stand_on_the_form(cast: Cast, settings: LazySettings) -> None:
    settings.INTAKE_MAX_FILES = 7
    settings.INTAKE_MIN_SIDE = 123
    client = cast.client_of(cast.owner)
    for address in (
        reverse("image_upload", args=[cast.patient.pk]),
        reverse("analysis_new"),
    ):
        body = client.get(address).content.decode()
        assert "123 pixels" in body
        assert "Up to 7 files at a time." in body


def test_no_network_is_chosen_for_the_person(cast: Cast) -> None:
    page = cast.client_of(cast.owner).get(reverse("image_upload", args=[cast.patient.pk]))
    assert page.context["form"]["modality"].value() is None
