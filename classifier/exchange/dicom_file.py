"""Reading a DICOM object from a stranger: the picture in it, whose it is, and nothing else.

Runs in the decoding process and knows nothing of Django. Of the object only the elements named here
are read; every other element, private ones and comments included, is passed over and never kept.
The picture is handed on as a JPEG or PNG file, so that it goes through the same checks and the same
decoder as an upload of that kind.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pydicom
import pydicom.errors
from PIL import Image
from pydicom import config
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

# What the class of an object says of how its picture was taken (PS3.4, table B.5-1).
MODALITIES = {
    "1.2.840.10008.5.1.4.1.1.77.1.7": "dermoscopy",
    "1.2.840.10008.5.1.4.1.1.77.1.4": "clinical",
}
# It would be unpacked before anything can be looked at.
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_META_END = 4096
_READ = (
    *("SpecificCharacterSet", "SOPClassUID", "TimezoneOffsetFromUTC"),
    *("PatientID", "PatientName", "PatientBirthDate"),
    *("AcquisitionDateTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime"),
    *("BurnedInAnnotation", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("PlanarConfiguration", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"),
    *("PixelRepresentation", "ICCProfile", "PixelData"),
)
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = {1: _GREY, 3: ("RGB", "YBR_FULL")}
_COLOURS_J2K = {1: _GREY, 3: ("RGB", "YBR_RCT", "YBR_ICT")}
_ADOBE_RGB = b"\xff\xee\x00\x0eAdobe\x00d\x00\x00\x00\x00\x00"
_SOS, _COM = 0xDA, 0xFE
_APP0, _APP1, _APP2, _APP14, _APP15 = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF
_MOST_SEGMENTS = 256
_MOST_ICC = 65_000
_BYTE = 8
# pydicom lets all of these out for broken objects.
FAULTS_OF_PYDICOM = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    BufferError,
    struct.error,
    zlib.error,
    pydicom.errors.InvalidDicomError,
)


class DicomError(ValueError):
    """The object is refused; ``code`` is a key of ``classifier.intake.refusals``."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(code)


@dataclass(frozen=True)
class Opened:
    """An object of an accepted class with one frame within the limits; no pixel is decoded yet.

    Attributes:
        dataset: the elements that are read.
        facts: what ``classifier.intake.decoders.DicomFacts`` holds.
        pixels: of the picture, as the header states it.
        taken_at: with a time zone only where the object tells one.
    """

    dataset: Dataset
    facts: dict[str, str]
    pixels: int
    taken_at: datetime | None

    def picture(self) -> bytes:
        """Return the picture as a JPEG (its own coded bytes) or PNG (its own pixels) file.

        Raises:
            DicomError: it is coded in a way that is not supported, or broken.
        """
        with _guarded():
            syntax = self.dataset.file_meta.TransferSyntaxUID
            if syntax == JPEGBaseline8Bit:
                return _plain_jpeg(_frame(self.dataset), self.dataset)
            return _as_png(_pixels(self.dataset, syntax), self.dataset)


def open_object(data: bytes, *, max_pixels: int, max_side: int) -> Opened:
    """Read what is needed of an object and check it, without decoding a pixel.

    Args:
        data: the whole file, bounded already.
        max_pixels: of the picture.
        max_side: of its longer side.

    Raises:
        DicomError: it is refused.
    """
    if _DEFLATED in data[:_META_END]:
        raise DicomError("dicom_coding")
    with _guarded():
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=list(_READ))
        sop_class = str(dataset.get("SOPClassUID", ""))
        if not sop_class:
            raise DicomError("dicom")
        if sop_class not in MODALITIES:
            raise DicomError("dicom_class")
        if str(dataset.get("BurnedInAnnotation", "")).strip().upper() == "YES":
            raise DicomError("dicom_annotated")
        if int(dataset.get("NumberOfFrames") or 1) != 1:
            raise DicomError("dicom_frames")
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        if rows * columns > max_pixels:
            raise DicomError("too_many_pixels")
        if max(rows, columns) > max_side:
            raise DicomError("too_long")
        facts = {
            "modality": MODALITIES[sop_class],
            "number": _words(dataset, "PatientID"),
            "name": _words(dataset, "PatientName").split("=")[0],
            "born": _words(dataset, "PatientBirthDate"),
        }
        return Opened(dataset, facts, rows * columns, _taken_at(dataset))


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    """Turn whatever a broken object makes pydicom raise into a refusal."""
    config.settings.reading_validation_mode = config.IGNORE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except DicomError:
            raise
        except (MemoryError, Image.DecompressionBombError) as error:
            raise DicomError("too_many_pixels") from error
        except FAULTS_OF_PYDICOM as error:
            raise DicomError("dicom") from error


def _words(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip(" \x00")


def _frame(dataset: Dataset) -> bytes:
    return get_frame(dataset.PixelData, 0, number_of_frames=1)


def _pixels(dataset: Dataset, syntax: UID) -> Image.Image:
    """Return the pixels, eight bits, RGB or L."""
    samples, colour = int(dataset.SamplesPerPixel), str(dataset.PhotometricInterpretation)
    if int(dataset.BitsAllocated) != _BYTE or int(dataset.PixelRepresentation) != 0:
        raise DicomError("dicom_coding")
    size = (int(dataset.Columns), int(dataset.Rows))
    if syntax in {JPEG2000, JPEG2000Lossless}:
        if colour not in _COLOURS_J2K.get(samples, ()):
            raise DicomError("dicom_coding")
        opened = Image.open(io.BytesIO(_frame(dataset)), formats=["JPEG2000"])
        # The coded picture states its own size, which is what would be decoded.
        if opened.size != size or opened.mode not in {"L", "RGB"}:
            raise DicomError("dicom")
        opened.load()
        return _upright(opened, colour)
    if colour not in _COLOURS.get(samples, ()):
        raise DicomError("dicom_coding")
    if syntax == RLELossless:
        found, _facts = get_decoder(syntax).as_array(dataset, raw=True)
        values: NDArray[Any] = found
    elif syntax in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}:
        values = _native(dataset, samples)
    else:
        raise DicomError("dicom_coding")
    mode = "L" if samples == 1 else "YCbCr" if colour == "YBR_FULL" else "RGB"
    shape = (size[1], size[0]) if samples == 1 else (size[1], size[0], samples)
    picture = Image.frombytes(mode, size, np.ascontiguousarray(values.reshape(shape)).tobytes())
    return _upright(picture, colour)


def _native(dataset: Dataset, samples: int) -> NDArray[Any]:
    count = int(dataset.Rows) * int(dataset.Columns) * samples
    if len(dataset.PixelData) < count:
        raise DicomError("truncated")
    values = np.frombuffer(dataset.PixelData, np.uint8, count)
    if samples > 1 and int(dataset.get("PlanarConfiguration") or 0) == 1:
        return np.moveaxis(values.reshape(samples, -1), 0, -1)
    return values


def _upright(picture: Image.Image, colour: str) -> Image.Image:
    if colour == "MONOCHROME1":
        return picture.point(lambda value: 255 - value)
    return picture.convert("RGB") if picture.mode == "YCbCr" else picture


def _as_png(picture: Image.Image, dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    # It is read again at once: packing it would only cost time.
    picture.save(buffer, "PNG", compress_level=0, icc_profile=_profile(dataset))
    return buffer.getvalue()


def _profile(dataset: Dataset) -> bytes | None:
    profile = dataset.get("ICCProfile")
    return profile if isinstance(profile, bytes) and len(profile) <= _MOST_ICC else None


def _plain_jpeg(frame: bytes, dataset: Dataset) -> bytes:
    """Return the coded picture with no metadata but how its colours are meant.

    DICOM says that metadata inside the coded bytes do not count, so none is kept: a camera's turn
    would otherwise be applied here and by no viewer. Where the object says RGB and the coded bytes
    say nothing, decoders would take it for YCbCr.
    """
    if not frame.startswith(b"\xff\xd8"):
        raise DicomError("dicom")
    parts, position, marked = [], 2, False
    for _ in range(_MOST_SEGMENTS):
        lead, marker, length = struct.unpack_from(">BBH", frame, position)
        if lead != 0xFF:  # noqa: PLR2004 - every marker begins with it
            raise DicomError("dicom")
        if marker == _SOS:
            break
        marked |= marker in {_APP0, _APP14}
        if not (_APP1 <= marker <= _APP15 or marker == _COM) or marker == _APP14:
            parts.append(frame[position : position + 2 + length])
        position += 2 + length
    else:
        raise DicomError("dicom")
    profile = _profile(dataset)
    if profile:
        body = b"ICC_PROFILE\x00\x01\x01" + profile
        parts.append(struct.pack(">BBH", 0xFF, _APP2, len(body) + 2) + body)
    if not marked and str(dataset.PhotometricInterpretation) == "RGB":
        parts.append(_ADOBE_RGB)
    # Encapsulated frames are padded to an even length.
    return b"".join([b"\xff\xd8", *parts, frame[position:].rstrip(b"\x00")])


def _taken_at(dataset: Dataset) -> datetime | None:
    whole = _words(dataset, "AcquisitionDateTime")
    if not whole:
        for kind in ("Acquisition", "Content"):
            if _words(dataset, f"{kind}Date"):
                whole = _words(dataset, f"{kind}Date") + _words(dataset, f"{kind}Time")
                break
    digits = whole.split(".")[0][:14]
    offset = _words(dataset, "TimezoneOffsetFromUTC")
    if whole[-5:-4] in {"+", "-"}:
        digits, offset = whole[:-5].split(".")[0][:14], whole[-5:]
    # What is no moment of the calendar is no reason to refuse a picture.
    with contextlib.suppress(ValueError):
        form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits), "")
        return datetime.strptime(digits, form).replace(tzinfo=_zone(offset))
    return None


def _zone(offset: str) -> timezone | None:
    """Return the zone of "+0100" and the like; None where nothing is said."""
    if not offset:
        return None
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    return timezone(timedelta(minutes=-minutes if offset.startswith("-") else minutes))
