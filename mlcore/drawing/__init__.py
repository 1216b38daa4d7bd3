"""Pictures of skin drawn by code: for the demo clinic, the documentation and the tests.

They show no patient. They are good enough to look at, not to learn medicine from.
"""

from mlcore.drawing.clinical import CLINICAL_KINDS, draw_clinical
from mlcore.drawing.dermoscopy import DERMOSCOPY_KINDS, draw_dermoscopy
from mlcore.drawing.other import NOT_SKIN_KINDS, draw_not_skin, draw_plain_skin

__all__ = [
    "CLINICAL_KINDS",
    "DERMOSCOPY_KINDS",
    "NOT_SKIN_KINDS",
    "draw_clinical",
    "draw_dermoscopy",
    "draw_not_skin",
    "draw_plain_skin",
]
