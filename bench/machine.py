"""What figures depend on: processor, cores, load, versions."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_LIBRARIES = (
    "django",
    "celery",
    "pillow",
    "pillow-heif",
    "numpy",
    "ai-edge-litert",
    "tensorflow",
    "keras",
    "onnxruntime",
    "openvino",
    "flask",
    "gunicorn",
)


def machine_facts() -> dict[str, Any]:
    """Return what a reader needs to know before comparing figures: no name of the machine."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "libraries": {library: _version(library) for library in _LIBRARIES},
    }


def in_words(facts: dict[str, Any]) -> str:
    """Return the facts as one line."""
    libraries = ", ".join(f"{name} {found}" for name, found in facts["libraries"].items())
    return (
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB, "
        f"{facts['system']}; Python {facts['python']}, {libraries}"
    )


def load() -> str:
    """Return the load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "missing"


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        named = re.search(r"^model name\s*:\s*(.+)$", facts.read_text(), re.MULTILINE)
        if named is not None:
            return named.group(1)
    return platform.processor() or platform.machine()


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3)
