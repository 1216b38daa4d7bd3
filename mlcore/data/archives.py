"""Which collection of the ISIC Archive an image of the dermoscopic sets comes from.

The nine-class set was put together from several collections, and each collection brought only some
of the labels: whoever recognises the collection (camera, cropping, colour cast) can guess the label
without looking at the lesion. The collections follow each other in the Archive's running numbers,
so the number tells them apart; HAM10000 is known by its own list of ids.
"""

from __future__ import annotations

import re

HAM10000 = "ham10000"
_NUMBER = re.compile(r"ISIC_(\d{7})$")
# Running numbers below the bound belong to the collection; the gaps between them are empty.
_BOUNDS = ((1_000, "isic-0000"), (10_000, "isic-0001"), (13_000, "isic-0010"))
_OTHER = "isic-other"


def archive_of(image: str, *, in_ham: bool) -> str:
    """Return the collection of an Archive id.

    Args:
        image: like ``ISIC_0025509``.
        in_ham: whether HAM10000's metadata lists the id.
    """
    if in_ham:
        return HAM10000
    found = _NUMBER.match(image)
    if found is None:
        return _OTHER
    number = int(found.group(1))
    return next((name for bound, name in _BOUNDS if number < bound), _OTHER)
