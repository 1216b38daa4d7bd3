"""How hard the property tests try.

``INTAKE_EFFORT=20`` makes each try twenty times as many examples; the default keeps the whole
module well below a minute. Examples are drawn alike in every run unless more effort is asked for.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

_EFFORT = int(os.environ.get("INTAKE_EFFORT", "1"))


def effort(examples: int) -> settings:
    """Return settings that try ``examples`` times the effort asked for."""
    return settings(
        max_examples=examples * _EFFORT,
        deadline=None,
        derandomize=_EFFORT == 1,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


EFFORT = effort(80)
MORE_EFFORT = effort(400)
