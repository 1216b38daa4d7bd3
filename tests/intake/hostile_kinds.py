"""Files that are something else too, or something else altogether."""

from __future__ import annotations

import struct

from PIL import Image

from tests.intake.hostile_file import Hostile
from tests.intake.samples import (
    box,
    drawn,
    encoded,
    jpeg_segment,
    jpeg_with,
    noise,
    png_chunk,
    png_with,
    sound,
    tiff,
    zipped,
)

SCRIPT = b"<script>alert(document.cookie)</script>"
PHP = b"<?php system($_GET['c']); ?>"


def _jpeg_exif_saying(text: bytes) -> bytes:
    details = Image.Exif()
    details[0x010E] = text.decode()
    return encoded(drawn(), "JPEG", exif=details)


def _document(member: str) -> bytes:
    return zipped(member)


def _dicom() -> bytes:
    return bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xc8\x00\x00\x00" + bytes(200)


def _tar() -> bytes:
    return b"photo.jpg".ljust(257, b"\x00") + b"ustar\x0000" + bytes(248)


POLYGLOTS = [
    Hostile(
        "zip.jpg", "JPEG with a ZIP archive behind it", lambda: sound("JPEG") + zipped(), "polyglot"
    ),
    Hostile(
        "padded-zip.jpg",
        "JPEG, a kilobyte of padding, a ZIP archive",
        lambda: sound("JPEG") + bytes(1024) + zipped(),
        "polyglot",
    ),
    Hostile(
        "pdf.jpg",
        "JPEG with a PDF behind it",
        lambda: sound("JPEG") + b"%PDF-1.7\n%%EOF",
        "polyglot",
    ),
    Hostile(
        "rar.jpg",
        "JPEG with a RAR archive behind it",
        lambda: sound("JPEG") + b"Rar!\x1a\x07\x00" + bytes(50),
        "polyglot",
    ),
    Hostile(
        "comment-html.jpg",
        "JPEG with a script in its comment",
        lambda: jpeg_with(jpeg_segment(0xFE, SCRIPT)),
        "polyglot",
    ),
    Hostile(
        "exif-php.jpg", "JPEG with PHP in its Exif", lambda: _jpeg_exif_saying(PHP), "polyglot"
    ),
    Hostile(
        "comment-php.jpg",
        "JPEG with PHP in its comment",
        lambda: jpeg_with(jpeg_segment(0xFE, PHP)),
        "polyglot",
    ),
    Hostile(
        "text-html.png",
        "PNG with a script in its text",
        lambda: png_with(png_chunk(b"tEXt", b"Comment\x00" + SCRIPT)),
        "polyglot",
    ),
    Hostile(
        "html.png",
        "PNG with a web page behind it",
        lambda: sound("PNG") + b"<html><body>" + SCRIPT,
        "polyglot",
    ),
    Hostile(
        "zip.png", "PNG with a ZIP archive behind it", lambda: sound("PNG") + zipped(), "polyglot"
    ),
    Hostile(
        "elf.png",
        "PNG with a Linux program behind it",
        lambda: sound("PNG") + b"\x7fELF\x02\x01\x01" + bytes(60),
        "polyglot",
    ),
    Hostile(
        "zip.webp",
        "WebP with a ZIP archive behind it",
        lambda: sound("WEBP") + zipped(),
        "polyglot",
    ),
    Hostile(
        "zip.tif", "TIFF with a ZIP archive behind it", lambda: sound("TIFF") + zipped(), "polyglot"
    ),
    Hostile(
        "html.tif",
        "TIFF with a web page behind it",
        lambda: sound("TIFF") + b"<html><body>" + SCRIPT,
        "polyglot",
    ),
    Hostile(
        "zip.heic",
        "HEIC with a ZIP archive behind it",
        lambda: sound("HEIF") + zipped(),
        "polyglot",
    ),
    Hostile("script.bmp", "BMP with a script behind it", lambda: sound("BMP") + SCRIPT, "polyglot"),
]

OTHERS = [
    Hostile(
        "drawing.svg.png",
        "SVG drawing with a script",
        lambda: (
            b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">' + SCRIPT + b"</svg>"
        ),
        "svg",
    ),
    Hostile(
        "utf16.svg.png",
        "SVG drawing in UTF-16",
        lambda: '<svg xmlns="http://www.w3.org/2000/svg"/>'.encode("utf-16"),
        "svg",
    ),
    Hostile("page.jpg", "web page", lambda: b"\n <!DOCTYPE html><html>" + SCRIPT, "html"),
    Hostile("scan.jpg", "PDF", lambda: b"%PDF-1.7\n1 0 obj\n", "pdf"),
    Hostile(
        "pdf-with-jpeg.jpg",
        "PDF that wraps a JPEG",
        lambda: b"%PDF-1.4\nstream\n" + sound("JPEG"),
        "pdf",
    ),
    Hostile("photos.zip.jpg", "ZIP archive", zipped, "archive"),
    Hostile("letter.docx.jpg", "Word document", lambda: _document("word/document.xml"), "archive"),
    Hostile("drawing.svgz.jpg", "gzip", lambda: b"\x1f\x8b\x08\x00" + bytes(50), "archive"),
    Hostile("photos.tar.jpg", "tar archive", _tar, "archive"),
    Hostile(
        "setup.exe.jpg",
        "Windows program",
        lambda: b"MZ\x90\x00" + bytes(60) + b"PE\x00\x00",
        "program",
    ),
    Hostile("tool.jpg", "Linux program", lambda: b"\x7fELF\x02\x01\x01" + bytes(60), "program"),
    Hostile("script.sh.jpg", "shell script", lambda: b"#!/bin/sh\nrm -rf /\n", "program"),
    Hostile("shell.php.jpg", "PHP script", lambda: PHP, "program"),
    Hostile(
        "notes.jpg",
        "plain text",
        lambda: b"BM25 is a ranking function, not a bitmap. " * 5,
        "not_an_image",
    ),
    Hostile(
        "random.jpg",
        "random bytes",
        lambda: b"\x01" + noise(4, 5_000),
        "not_an_image",
    ),
    Hostile("animation.gif", "GIF", lambda: encoded(drawn(), "GIF"), "unsupported_format"),
    Hostile(
        "script.gif",
        "GIF that is a script too",
        lambda: b"GIF89a/*" + bytes(20) + b"*/=1;alert(1)",
        "unsupported_format",
    ),
    Hostile("icon.ico", "Windows icon", lambda: encoded(drawn(), "ICO"), "unsupported_format"),
    Hostile(
        "layers.psd",
        "Photoshop document",
        lambda: b"8BPS\x00\x01" + bytes(40),
        "unsupported_format",
    ),
    Hostile(
        "print.eps.jpg",
        "EPS (a program for Ghostscript)",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n",
        "unsupported_format",
    ),
    Hostile("picture.jp2", "JPEG 2000", lambda: encoded(drawn(), "JPEG2000"), "unsupported_format"),
    Hostile(
        "picture.jxl", "JPEG XL", lambda: b"\xff\x0a\xfa\x1f" + bytes(40), "unsupported_format"
    ),
    Hostile(
        "picture.avif",
        "AVIF",
        lambda: box(b"ftyp", b"avif\x00\x00\x00\x00avifmif1miaf") + bytes(200),
        "unsupported_format",
    ),
    Hostile(
        "mif1.heic",
        "AVIF under HEIF's general brand",
        lambda: box(b"ftyp", b"mif1\x00\x00\x00\x00mif1avif") + bytes(200),
        "unsupported_format",
    ),
    Hostile(
        "big.tif", "BigTIFF", lambda: b"II+\x00\x08\x00\x00\x00" + bytes(100), "unsupported_format"
    ),
    Hostile(
        "raw.dng",
        "camera raw with a thumbnail first",
        lambda: tiff(
            200, 200, strip=bytes(40_000), extra=[(254, 4, 1, 1), (50706, 1, 4, 0x00000401)]
        ),
        "unsupported_format",
    ),
    Hostile(
        "raw.cr2",
        "Canon raw",
        lambda: b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(100),
        "unsupported_format",
    ),
    Hostile(
        "film.mp4",
        "MP4 film",
        lambda: box(b"ftyp", b"isom\x00\x00\x02\x00isomiso2mp41") + box(b"moov", bytes(100)),
        "video",
    ),
    Hostile(
        "film.heic",
        "film under HEIF's brand",
        lambda: (
            box(b"ftyp", b"hevc\x00\x00\x00\x00hevcmsf1")
            + box(b"moov", bytes(100))
            + box(b"mdat", bytes(100))
        ),
        "video",
    ),
    Hostile(
        "film.avi.jpg",
        "AVI film",
        lambda: b"RIFF" + struct.pack("<I", 100) + b"AVI LIST" + bytes(100),
        "video",
    ),
    Hostile("film.mkv.jpg", "Matroska film", lambda: b"\x1a\x45\xdf\xa3" + bytes(100), "video"),
    Hostile("scan.dcm", "DICOM mark with nothing behind it", _dicom, "dicom"),
]
