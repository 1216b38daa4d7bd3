"""DICOM objects as cameras, archives and attackers write them; every picture is drawn."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import RLELosslessEncoder
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    generate_uid,
)

from mlcore.drawing import draw_dermoscopy

if TYPE_CHECKING:
    from PIL import Image
    from pydicom.uid import UID

DERMOSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.7"
PHOTOGRAPHIC = "1.2.840.10008.5.1.4.1.1.77.1.4"
MICROSCOPIC = "1.2.840.10008.5.1.4.1.1.77.1.2"
SECRET = "TELLTALE COMMENT"


def drawn() -> Image.Image:
    """Return the picture in all of them."""
    return draw_dermoscopy("nevus", seed=3, size=(200, 150))


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def made(
    *,
    syntax: UID = ExplicitVRLittleEndian,
    pixels: bytes | None = None,
    colour: str = "RGB",
    **facts: Any,
) -> bytes:
    """Return an object of Ada's; ``facts`` are other elements, None for one that is missing."""
    picture = drawn()
    found = Dataset()
    found.SpecificCharacterSet = "ISO_IR 192"
    found.SOPClassUID = DERMOSCOPIC
    found.SOPInstanceUID = generate_uid()
    found.PatientID = "MRN-00001"
    found.PatientName = "Example^Ada"
    found.PatientBirthDate = ""
    found.PatientComments = SECRET
    found.AcquisitionDateTime = "20240229134510+0100"
    found.SamplesPerPixel = 3
    found.PhotometricInterpretation = colour
    found.PlanarConfiguration = 0
    found.Rows, found.Columns = picture.height, picture.width
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit, found.PixelRepresentation = 7, 0
    found.PixelData = coded(picture, syntax) if pixels is None else pixels
    found["PixelData"].VR = "OB"
    for name, value in facts.items():
        if value is None:
            delattr(found, name)
        else:
            setattr(found, name, value)
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    if syntax not in {ExplicitVRLittleEndian, ImplicitVRLittleEndian}:
        found["PixelData"].is_undefined_length = True
    buffer = io.BytesIO()
    found.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def coded(picture: Image.Image, syntax: UID) -> bytes:
    """Return the picture's pixels as the transfer syntax wants them."""
    array = np.asarray(picture)
    if syntax == RLELossless:
        facts: dict[str, Any] = {
            "rows": picture.height,
            "columns": picture.width,
            "samples_per_pixel": 3,
            "bits_allocated": 8,
            "bits_stored": 8,
            "pixel_representation": 0,
            "photometric_interpretation": "RGB",
            "number_of_frames": 1,
            "planar_configuration": 0,
        }
        return encapsulate([RLELosslessEncoder.encode(array, **facts)])
    if syntax == JPEGBaseline8Bit:
        return encapsulate([jpeg(picture)])
    if syntax == JPEG2000Lossless:
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG2000", irreversible=False, no_jp2=True, mct=1)
        return encapsulate([buffer.getvalue()])
    return array.tobytes()


def jpeg(picture: Image.Image, **how: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, subsampling=0, **how)
    return buffer.getvalue()
