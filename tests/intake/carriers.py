"""Pictures that carry a patient's name and a place in every part of every format that can."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import ExifTags, Image

from tests.intake.profiles import ADOBE_RGB, profile_of
from tests.intake.samples import (
    box,
    drawn,
    encoded,
    jpeg_segment,
    jpeg_with,
    png_chunk,
    png_with,
    riff_chunk,
    sound,
    webp,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NAME = "Telltale Erika Mustermann"
PLACE = "51.477812,-0.001475"
LATITUDE = (51, 28, 40.123)
# What must not be found in any stored byte: the words in the encodings in use, and the position
# as Exif writes it.
TELLTALES = (
    *(
        word.encode(code)
        for word in ("Telltale", PLACE)
        for code in ("utf-8", "utf-16-le", "utf-16-be")
    ),
    struct.pack("<II", 40123, 1000),
    struct.pack(">II", 40123, 1000),
)


@dataclass(frozen=True)
class Carrier:
    """A sound picture with something to hide.

    Attributes:
        name: where it is hidden.
        make: builds the file.
        packed: it lies compressed in the file, so that its words cannot be found there as they are.
    """

    name: str
    make: Callable[[], bytes]
    packed: bool = False


def camera_block() -> bytes:
    """Return an Exif block that tells everything, with a thumbnail of the patient."""
    details = Image.Exif()
    for tag in (
        ExifTags.Base.ImageDescription,
        ExifTags.Base.Artist,
        ExifTags.Base.Copyright,
        ExifTags.Base.HostComputer,
        ExifTags.Base.Software,
    ):
        details[tag] = NAME
    details[ExifTags.Base.XPAuthor] = NAME.encode("utf-16-le")
    inner = details.get_ifd(ExifTags.IFD.Exif)
    inner[ExifTags.Base.UserComment] = b"ASCII\x00\x00\x00" + NAME.encode()
    inner[ExifTags.Base.MakerNote] = NAME.encode() * 20
    inner[ExifTags.Base.BodySerialNumber] = "Telltale 0815"
    details.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N",
            ExifTags.GPS.GPSLatitude: LATITUDE,
            ExifTags.GPS.GPSAreaInformation: PLACE,
        }
    )
    return details.tobytes()


def xmp() -> bytes:
    """Return an XMP packet."""
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f"<dc:creator>{NAME}</dc:creator><exif:GPS>{PLACE}</exif:GPS></x:xmpmeta>"
    ).encode()


def iptc() -> bytes:
    """Return Photoshop's resource that holds an IPTC by-line and city."""
    records = b"".join(
        struct.pack(">BBBH", 0x1C, 2, number, len(text)) + text.encode()
        for number, text in ((80, NAME), (90, PLACE))
    )
    body = b"8BIM\x04\x04\x00\x00" + struct.pack(">I", len(records)) + records
    return body + b"\x00" * (len(records) % 2)


def telling_profile() -> bytes:
    """Return a colour profile whose description is a name."""
    return profile_of(ADOBE_RGB, NAME)


def _jpeg(*segments: tuple[int, bytes]) -> bytes:
    return jpeg_with(*(jpeg_segment(marker, body) for marker, body in segments))


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    return png_with(*(png_chunk(kind, body) for kind, body in chunks))


def _tiff(tag: int, value: Any) -> bytes:
    return encoded(drawn(), "TIFF", tiffinfo={tag: value})


def _tiff_pages() -> bytes:
    second = drawn(2).copy()
    second.info["tiffinfo"] = {270: NAME}
    return encoded(
        drawn(),
        "TIFF",
        save_all=True,
        append_images=[second],
        description=NAME,
        artist=NAME,
        exif=camera_block(),
    )


def _bmp_gap() -> bytes:
    data = bytearray(sound("BMP"))
    words = (NAME + PLACE).encode()
    (offset,) = struct.unpack_from("<I", data, 10)
    struct.pack_into("<I", data, 10, offset + len(words))
    return bytes(data[:offset]) + words + bytes(data[offset:])


WORDS = (NAME + " " + PLACE).encode()
CARRIERS = [
    Carrier("JPEG Exif", lambda: encoded(drawn(), "JPEG", exif=camera_block())),
    Carrier("JPEG XMP", lambda: _jpeg((0xE1, b"http://ns.adobe.com/xap/1.0/\x00" + xmp()))),
    Carrier(
        "JPEG extended XMP",
        lambda: _jpeg((0xE1, b"http://ns.adobe.com/xmp/extension/\x00" + bytes(40) + xmp())),
    ),
    Carrier("JPEG IPTC", lambda: _jpeg((0xED, b"Photoshop 3.0\x00" + iptc()))),
    Carrier("JPEG comment", lambda: _jpeg((0xFE, WORDS))),
    Carrier("JPEG profile", lambda: encoded(drawn(), "JPEG", icc_profile=telling_profile())),
    Carrier("JPEG APP0 extension", lambda: _jpeg((0xE0, b"JFXX\x00\x10" + WORDS))),
    Carrier("JPEG maker's segment", lambda: _jpeg((0xE5, WORDS), (0xEF, WORDS))),
    Carrier("JPEG trailer", lambda: sound("JPEG") + WORDS),
    Carrier("PNG tEXt", lambda: _png((b"tEXt", b"Author\x00" + WORDS))),
    Carrier(
        "PNG zTXt", lambda: _png((b"zTXt", b"Author\x00\x00" + zlib.compress(WORDS))), packed=True
    ),
    Carrier("PNG iTXt", lambda: _png((b"iTXt", b"Author\x00\x00\x00en\x00\x00" + WORDS))),
    Carrier("PNG XMP", lambda: _png((b"iTXt", b"XML:com.adobe.xmp" + bytes(5) + xmp()))),
    Carrier("PNG Exif", lambda: _png((b"eXIf", camera_block().removeprefix(b"Exif\x00\x00")))),
    Carrier(
        "PNG profile", lambda: encoded(drawn(), "PNG", icc_profile=telling_profile()), packed=True
    ),
    Carrier(
        "PNG private chunk",
        lambda: _png((b"prVt", WORDS), (b"tIME", bytes([7, 232, 2, 29, 1, 2, 3]))),
    ),
    Carrier("PNG trailer", lambda: sound("PNG") + WORDS),
    Carrier("WebP Exif", lambda: encoded(drawn(), "WEBP", exif=camera_block())),
    Carrier("WebP XMP", lambda: encoded(drawn(), "WEBP", xmp=xmp())),
    Carrier("WebP profile", lambda: encoded(drawn(), "WEBP", icc_profile=telling_profile())),
    Carrier("WebP unknown chunk", lambda: webp(sound("WEBP")[12:], riff_chunk(b"abcd", WORDS))),
    Carrier("WebP trailer", lambda: sound("WEBP") + WORDS),
    Carrier("TIFF Exif and GPS", lambda: encoded(drawn(), "TIFF", exif=camera_block())),
    Carrier("TIFF description", lambda: _tiff(270, NAME)),
    Carrier("TIFF XMP", lambda: _tiff(700, xmp())),
    Carrier("TIFF IPTC", lambda: _tiff(33723, iptc())),
    Carrier("TIFF Photoshop", lambda: _tiff(34377, iptc())),
    Carrier("TIFF private tag", lambda: _tiff(65000, NAME)),
    Carrier("TIFF profile", lambda: encoded(drawn(), "TIFF", icc_profile=telling_profile())),
    Carrier("TIFF second page", _tiff_pages),
    Carrier("TIFF trailer", lambda: sound("TIFF") + WORDS),
    Carrier("HEIC Exif", lambda: encoded(drawn(), "HEIF", exif=camera_block())),
    Carrier("HEIC XMP", lambda: encoded(drawn(), "HEIF", xmp=xmp())),
    Carrier("HEIC profile", lambda: encoded(drawn(), "HEIF", icc_profile=telling_profile())),
    Carrier("HEIC free box", lambda: sound("HEIF") + box(b"free", WORDS)),
    Carrier("BMP gap before the pixels", _bmp_gap),
    Carrier("BMP trailer", lambda: sound("BMP") + WORDS),
]
