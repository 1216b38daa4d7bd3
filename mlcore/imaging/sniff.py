"""Telling what a file is from its first and last bytes, never from its name."""

from __future__ import annotations

import enum
import re
import struct

from mlcore.imaging.errors import ImageError


class Format(enum.Enum):
    """The accepted formats, by Pillow's name."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    TIFF = "TIFF"
    HEIF = "HEIF"
    BMP = "BMP"


# ISO base media brands of pictures coded in HEVC (ISO/IEC 23008-12); the others are films.
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
# These say "a picture" without saying how it is coded; the compatible brands do.
_STRUCTURAL_BRANDS = {b"mif1", b"msf1"}
_OTHER_STILLS = {b"avif", b"avis", b"crx "}
_UNSUPPORTED = (
    b"II+\x00",  # BigTIFF
    b"MM\x00+",
    b"GIF87a",
    b"GIF89a",
    b"8BPS",
    b"\x00\x00\x01\x00",
    b"\x00\x00\x02\x00",
    b"%!PS",
    b"\xc5\xd0\xd3\xc6",
    b"\x00\x00\x00\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"FORM",
    b"\xd7\xcd\xc6\x9a",
    b"\xff\x0a",
    b"qoif",
)
_ARCHIVES = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"Rar!\x1a\x07",
    b"7z\xbc\xaf\x27\x1c",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"(\xb5\x2f\xfd",
)
_PROGRAMS = (
    b"\x7fELF",
    b"MZ",
    b"\xca\xfe\xba\xbe",
    b"\xcf\xfa\xed\xfe",
    b"#!",
    b"\x00asm",
    b"<?php",
)
_VIDEOS = (b"\x1a\x45\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3", b"OggS", b"FLV\x01")
_MARKUP_HEAD = 1024
_MOST_BRANDS = 256
_SVG = re.compile(rb"<svg[\s>]", re.IGNORECASE)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|body|script|iframe|meta|title|img|a|p|div|table)[\s>/]",
    re.IGNORECASE,
)
# What must not hide in a picture or behind it: markup and documents that programs find anywhere in
# a file, and archives. The patterns are long enough not to turn up by chance in megabytes of a
# maker's own data.
_MARKUP = re.compile(
    rb"<(?:script[\s>]|html[\s>]|!doctype\s|svg[\s>]|iframe[\s>]|\?php)|%PDF-\d", re.IGNORECASE
)
_HIDDEN = re.compile(
    rb"PK\x03\x04[\x0a-\x3f]\x00|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|"
    rb"This program cannot be run in DOS mode"
)
# A ZIP archive is read from its end: this record, then a comment of at most 65 535 bytes.
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_ZIP_MOST_TAIL = _ZIP_END_SIZE + 0xFFFF
_ZIP_DIRECTORY = b"PK\x01\x02"
_DICOM_OFFSET = 128


def sniff(data: bytes) -> Format:
    """Return the picture format of ``data``.

    Raises:
        ImageError: the content is not one of the accepted formats; the code says what it is.
    """
    if not data:
        code = "empty"
        raise ImageError(code)
    found = _picture(data)
    if found is not None:
        return found
    raise ImageError(_other(data))


def _picture(data: bytes) -> Format | None:  # noqa: PLR0911 - one for each format
    if data.startswith(b"\xff\xd8\xff"):
        return Format.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Format.PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[:4] in {b"II*\x00", b"MM\x00*"}:
        return Format.TIFF
    if data[4:8] == b"ftyp" and _heif_brand(data):
        return Format.HEIF
    if data[:2] == b"BM" and _looks_like_bmp(data):
        return Format.BMP
    return None


def _looks_like_bmp(data: bytes) -> bool:
    # "BM" alone also begins plain text; a known header length settles it.
    known = {12, 40, 52, 56, 64, 108, 124}
    header = data[14:18]
    return len(header) == 4 and struct.unpack("<I", header)[0] in known  # noqa: PLR2004 - 4 bytes


def _brands(data: bytes) -> set[bytes]:
    """Return the compatible brands of the first box."""
    length = min(int.from_bytes(data[:4], "big"), _MOST_BRANDS)
    return {data[i : i + 4] for i in range(16, length, 4)}


def _heif_brand(data: bytes) -> bool:
    major = data[8:12]
    return major in _HEIF_BRANDS or (
        major in _STRUCTURAL_BRANDS and bool(_brands(data) & _HEIF_BRANDS)
    )


def _other(data: bytes) -> str:  # noqa: PLR0911 - a flat table of answers
    head = data[:_MARKUP_HEAD].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x00")
    if data.startswith(_UNSUPPORTED):
        return "unsupported_format"
    if data[4:8] == b"ftyp":
        still = data[8:12] in _OTHER_STILLS | _STRUCTURAL_BRANDS
        return "unsupported_format" if still else "video"
    if b"%PDF-" in data[:_MARKUP_HEAD]:
        return "pdf"
    if data[_DICOM_OFFSET : _DICOM_OFFSET + 4] == b"DICM":
        return "dicom"
    if data.startswith(_ARCHIVES) or data[257:262] == b"ustar":
        return "archive"
    if data.startswith(_PROGRAMS):
        return "program"
    if data.startswith(_VIDEOS) or (data[:4] == b"RIFF" and data[8:12] == b"AVI "):
        return "video"
    text = head.replace(b"\x00", b"")
    if _SVG.search(text):
        return "svg"
    if _HTML.search(text):
        return "html"
    return "not_an_image"


def hides_inside(block: bytes) -> bool:
    """Tell whether a block of metadata holds an archive, a program or markup."""
    return _MARKUP.search(block) is not None or _HIDDEN.search(block) is not None


def hides_behind(data: bytes, end: int) -> bool:
    """Tell whether a file is something else too: by what follows the picture, or by a ZIP's end.

    Makers' trailers (motion photos, multi-picture format, padding) are let through: re-encoding
    drops them.

    Args:
        data: the whole file.
        end: the offset behind the picture.
    """
    if _ends_as_zip(data):
        return True
    trailing = data[end:]
    if trailing.lstrip(b"\x00 \r\n\t").startswith(_ARCHIVES + _PROGRAMS):
        return True
    return hides_inside(trailing)


def _ends_as_zip(data: bytes) -> bool:
    record = data.rfind(_ZIP_END, max(0, len(data) - _ZIP_MOST_TAIL))
    if record < 0 or record + _ZIP_END_SIZE > len(data):
        return False
    size = struct.unpack_from("<I", data, record + 12)[0]
    return size <= record and data.startswith(_ZIP_DIRECTORY, record - size)
