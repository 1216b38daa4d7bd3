"""How ``pytest -n auto`` spreads the suite over processes.

A file stays together, because its module-wide fixtures are made once a process. Whatever starts
real installations, workers or a browser goes to one process, one after the other, and goes first:
it is the longest part, and the others fill up the rest. What builds networks goes to one process as
well and shares the release that it makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    from xdist.remote import Producer

# Installations, workers and browsers: two of these at once would make each other late.
_PROCESSES = (
    "tests/browser/",
    "tests/deploy/test_whole_installation.py",
    "tests/jobs/test_chaos",
    "tests/jobs/test_real_workers.py",
    "tests/runtime/test_installation.py",
    "tests/runtime/test_slow_clients.py",
)
# They load TensorFlow and share what ``tests/mlcore/conftest.py`` makes once a process.
_NETWORKS = (
    "tests/mlcore/test_command_line.py",
    "tests/mlcore/test_cross_validation.py",
    "tests/mlcore/test_frozen_stages.py",
    "tests/mlcore/test_gate_benchmarks.py",
    "tests/mlcore/test_gated_release.py",
    "tests/mlcore/test_litert_batches.py",
    "tests/mlcore/test_networks.py",
    "tests/mlcore/test_predictor.py",
    "tests/mlcore/test_release_making.py",
    "tests/mlcore/test_stored_quality.py",
    "tests/mlcore/test_training_loop.py",
)
_FIRST = (*_PROCESSES, *_NETWORKS)


class Spread(LoadFileScheduling):  # type: ignore[misc]  # a class without types
    """Hands out whole files, and those of the two lists as if each list were one file."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(_PROCESSES):
            return "processes"
        if nodeid.startswith(_NETWORKS):
            return "networks"
        return str(super()._split_scope(nodeid))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Spread:
    """Return our way of handing out tests, whatever ``--dist`` says."""
    # Otherwise files with many tests would go first, which are the quick ones.
    config.option.loadscopereorder = False
    return Spread(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what starts processes first, then networks, and what shares something together."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    places = [n for n, start in enumerate(_FIRST) if item.nodeid.startswith(start)]
    return places[0] if places else len(_FIRST)
