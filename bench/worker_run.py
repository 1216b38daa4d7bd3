"""``python -m bench.worker_run``: work off the queue in this process, and say where the time went.

Prints one line of JSON: images, seconds, and the seconds of each stage, over all threads.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from functools import wraps
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from collections.abc import Callable


class Stages:
    """Seconds by stage, over all threads; a stage within another counts as itself only."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()
        self._here = threading.local()

    def timed(self, owner: Any, name: str, stage: str) -> None:
        """Add the time of a function of a module or class to a stage from now on."""
        function: Callable[..., Any] = getattr(owner, name)

        @wraps(function)
        def timing(*given: Any, **named: Any) -> Any:
            outer = getattr(self._here, "within", 0.0)
            self._here.within = 0.0
            began = time.perf_counter()
            try:
                return function(*given, **named)
            finally:
                spent = time.perf_counter() - began
                with self._lock:
                    self.seconds[stage] += spent - self._here.within
                self._here.within = outer + spent

        setattr(owner, name, timing)


def main() -> None:
    """Run until nothing is due."""
    django.setup()
    from PIL import Image  # noqa: PLC0415 - after setup

    from classifier.models import ModelVersion  # noqa: PLC0415 - after setup
    from classifier.services import predictors, worker  # noqa: PLC0415 - after setup
    from mlcore import predictor  # noqa: PLC0415 - likewise
    from mlcore.engines.litert import LiteRTEngine  # noqa: PLC0415 - likewise

    for version in ModelVersion.objects.filter(active=True):
        picture = Image.new("RGB", (427, 320))
        for lane in predictors.lanes_for(version, predictors.LANES):
            lane.predict([picture] * 4)
    stages = Stages()
    stages.timed(worker, "claim_batch", "claim")
    stages.timed(worker, "_read", "read and decode")
    stages.timed(predictor, "to_array", "resize")
    stages.timed(LiteRTEngine, "run", "engine")
    stages.timed(predictor.Predictor, "predict", "judge")
    stages.timed(worker, "complete_all", "write")
    images = 0
    began = time.perf_counter()
    while done := worker.run_batch(worker="bench", go_on_seconds=3.0):
        images += done
    seconds = time.perf_counter() - began
    print(json.dumps({"images": images, "seconds": seconds, "stages": stages.seconds}))


if __name__ == "__main__":
    main()
