"""Why an image is refused."""

# One plain sentence for each fault: what is wrong and what the person can do.
FAULTS = {
    "empty": "The file is empty. Choose the picture again.",
    "too_many_bytes": "The file is too large. Send a smaller or more compressed copy.",
    "too_many_pixels": "The picture has too many pixels. Send it at a smaller size.",
    "too_long": "The picture's longer side has too many pixels. Crop it or send it smaller.",
    "too_small": "The picture is too small to judge. Send it at its original size.",
    "truncated": "The file ends too early: the upload or the copy was cut off. Send it again.",
    "damaged": "The picture is damaged and cannot be read. Export it again and send that.",
    "not_an_image": "This is not a picture. Send a JPEG, PNG, WebP, TIFF, HEIC or BMP file.",
    "svg": "This is an SVG drawing, not a photograph. Send a JPEG or PNG picture.",
    "html": "This is a web page, not a picture. Save the picture itself and send that.",
    "pdf": "This is a PDF document. Export the picture from it as JPEG or PNG.",
    "archive": "This is an archive. Unpack it and send the pictures in it.",
    "program": "This is a program or a script, not a picture. It was refused.",
    "video": "This is a video. Take a still picture and send that.",
    "dicom": "This is a DICOM object. Export the picture as JPEG or PNG.",
    "unsupported_format": (
        "This kind of picture is not supported. Save it as JPEG, PNG, WebP, TIFF, HEIC or BMP."
    ),
    "polyglot": (
        "The file hides other content behind the picture. Open the picture and save it anew."
    ),
    "too_complex": "The file's internal structure is too large. Export the picture again as JPEG.",
}


class ImageError(ValueError):
    """An image was refused.

    Attributes:
        code: one of the keys of :data:`FAULTS`.
        sentence: the plain English sentence for it.
    """

    def __init__(self, code: str) -> None:
        """Make the error for one of the known faults.

        Raises:
            KeyError: the code is not in :data:`FAULTS`.
        """
        self.code = code
        self.sentence = FAULTS[code]
        super().__init__(self.sentence)
