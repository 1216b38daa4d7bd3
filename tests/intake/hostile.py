"""The table of files that must be refused, each built by code, with the refusal it must get.

Sizes are chosen so that a decoder that believed the file would need gigabytes or minutes, while
the file itself stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.intake.hostile_broken import BROKEN, CUTS
from tests.intake.hostile_costly import COSTLY
from tests.intake.hostile_kinds import OTHERS, POLYGLOTS
from tests.intake.hostile_sizes import SIZES

if TYPE_CHECKING:
    from tests.intake.hostile_file import Hostile

HOSTILE: tuple[Hostile, ...] = (*SIZES, *CUTS, *BROKEN, *COSTLY, *POLYGLOTS, *OTHERS)
