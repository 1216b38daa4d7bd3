"""Engines: ways to run a released network. The choice is ``MLCORE_ENGINE``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlcore.engines.base import Engine, EngineError, Outputs

if TYPE_CHECKING:
    from mlcore.bundle import Release

ENGINES = ("litert", "tensorflow")

__all__ = ["ENGINES", "Engine", "EngineError", "Outputs", "load_engine"]


def load_engine(release: Release, name: str | None = None, *, threads: int | None = None) -> Engine:
    """Load a release into an engine.

    Args:
        release: a verified release.
        name: ``litert`` or ``tensorflow``; by default ``MLCORE_ENGINE``, else ``litert``.
        threads: processor threads to use; by default as many as there are cores.

    Raises:
        EngineError: there is no such engine.
    """
    name = name or os.environ.get("MLCORE_ENGINE", "litert")
    # Each engine's library is large, so only the chosen one is imported.
    if name == "litert":
        from mlcore.engines.litert import LiteRTEngine  # noqa: PLC0415

        return LiteRTEngine(release, threads=threads)
    if name == "tensorflow":
        from mlcore.engines.tensorflow import TensorFlowEngine  # noqa: PLC0415

        return TensorFlowEngine(release)
    msg = f"There is no engine {name!r}; there are {', '.join(ENGINES)}."
    raise EngineError(msg)
