"""Why an upload is refused, in the person's language."""

from __future__ import annotations

from django.conf import settings
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

# One sentence for each code of ``mlcore.imaging.FAULTS``: what is wrong and what to do.
REFUSALS = {
    "empty": gettext_lazy("The file is empty. Choose the picture again."),
    "too_many_bytes": gettext_lazy(
        "The file is larger than %(max_size)s. Send a smaller or more compressed copy."
    ),
    "too_many_pixels": gettext_lazy(
        "The picture has more than %(max_megapixels)d megapixels. Send it at a smaller size."
    ),
    "too_long": gettext_lazy(
        "The picture's longer side has more than %(max_side)d pixels. "
        "Crop it, or send it at a smaller size."
    ),
    "too_small": gettext_lazy(
        "The picture is too small: each side needs at least %(min_side)d pixels. "
        "Send it at its original size."
    ),
    "truncated": gettext_lazy(
        "The file ends too early: the copy or the upload was cut off. Send it again."
    ),
    "damaged": gettext_lazy(
        "The picture is damaged and cannot be read. Export it again and send that."
    ),
    "not_an_image": gettext_lazy(
        "This is not a picture. Send a JPEG, PNG, WebP, TIFF, HEIC or BMP file."
    ),
    "svg": gettext_lazy("This is an SVG drawing, not a photograph. Send a JPEG or PNG picture."),
    "html": gettext_lazy("This is a web page. Save the picture itself and send that."),
    "pdf": gettext_lazy("This is a PDF document. Export the picture from it as JPEG or PNG."),
    "archive": gettext_lazy("This is an archive. Unpack it and send the pictures in it."),
    "program": gettext_lazy("This is a program or a script, not a picture. It was refused."),
    "video": gettext_lazy("This is a video. Take a still picture and send that."),
    "dicom": gettext_lazy("This is a DICOM object. Export the picture as JPEG or PNG."),
    "unsupported_format": gettext_lazy(
        "This kind of picture is not supported. Save it as JPEG, PNG, WebP, TIFF, HEIC or BMP."
    ),
    "polyglot": gettext_lazy(
        "The file hides other content behind the picture. Open the picture and save it anew."
    ),
    "too_complex": gettext_lazy(
        "The file's internal structure is too large. Export the picture again as JPEG."
    ),
}

# A refusal is always 4xx: 413 for too many bytes, 415 where the content is no supported kind of
# picture, 422 for the rest (damaged, too small).
STATUS_OF_REFUSAL = {"too_many_bytes": 413} | dict.fromkeys(
    (
        "not_an_image",
        "svg",
        "html",
        "pdf",
        "archive",
        "program",
        "video",
        "dicom",
        "unsupported_format",
    ),
    415,
)


# What a DICOM object is refused for beside that: its class, its coding, and what it says of itself.
DICOM_REFUSALS = {
    "dicom_class": gettext_lazy(
        "This DICOM object holds another kind of picture. Send a Dermoscopic Photography or "
        "VL Photographic Image object, or export the picture as JPEG or PNG."
    ),
    "dicom_coding": gettext_lazy(
        "The picture in this DICOM object is coded in a way that is not supported. Export it "
        "uncompressed, as JPEG baseline, JPEG 2000 or RLE with eight bits."
    ),
    "dicom_frames": gettext_lazy(
        "This DICOM object holds several frames. Export the one you mean as an object of its own."
    ),
    "dicom_annotated": gettext_lazy(
        "This DICOM object says that writing is burned into its picture, which may name the "
        "patient and misleads the network. Export it without annotations."
    ),
    "dicom_nameless": gettext_lazy(
        "This DICOM object does not say whose it is. Export the picture as JPEG or PNG if you are "
        "sure that it is this patient's."
    ),
    "dicom_other_patient": gettext_lazy(
        "This DICOM object is another patient's: its number, date of birth or name is not this "
        "patient's. Choose the right patient, or the right file."
    ),
    "dicom_is_dermoscopy": gettext_lazy(
        "This DICOM object is a dermoscopic image. Choose “Dermoscopy” and send it again."
    ),
    "dicom_is_clinical": gettext_lazy(
        "This DICOM object is a clinical photograph. Choose “Clinical photograph” and send it "
        "again; if it was taken through a dermatoscope, correct that on its page afterwards."
    ),
}


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """An upload was refused; ``str(refused)`` is the translated sentence.

    Attributes:
        code: a key of :data:`REFUSALS` or :data:`DICOM_REFUSALS`.
    """

    def __init__(self, code: str) -> None:
        """Refuse with one of the known codes.

        Raises:
            KeyError: the code is in neither.
        """
        self.code = code
        super().__init__(str((REFUSALS | DICOM_REFUSALS)[code]) % _limit_words())


def _limit_words() -> dict[str, object]:
    return {
        "max_size": filesizeformat(settings.INTAKE_MAX_BYTES).replace("\xa0", " "),
        "max_megapixels": settings.INTAKE_MAX_PIXELS // 1_000_000,
        "max_side": settings.INTAKE_MAX_SIDE,
        "min_side": settings.INTAKE_MIN_SIDE,
    }


def describe_limits() -> str:
    """Return the sentence that tells what may be sent, for the upload form."""
    return (
        _(
            "JPEG, PNG, WebP, TIFF, HEIC, BMP or DICOM; up to %(max_size)s and %(max_megapixels)d "
            "megapixels each; each side at least %(min_side)d pixels and at most %(max_side)d."
        )
        % _limit_words()
    )
