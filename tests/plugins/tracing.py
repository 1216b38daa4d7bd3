"""Which tests run without coverage's tracer.

Before Python 3.12 a tracer makes all Python code half as slow again, the libraries' too
(measured). The tests named here send the same requests and files through the same lines by the
hundred, or train once more, lines that other tests run as well. They test as much without it;
coverage can only come out lower for it, never higher, and the floors in ``.ci/test`` say whether
it is still enough.

Fixtures are always traced, because whichever test comes first makes those that are shared; all but
the database, whose migrations are not measured.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from coverage import Coverage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_UNTRACED = (
    "tests/admin/test_admin_records.py::test_no_list_costs_more",
    "tests/intake/test_any_bytes.py",
    "tests/intake/test_decoding_process.py::test_some_hundred_spoilt_files",
    "tests/intake/test_hostile_files.py::test_a_hostile_file",
    "tests/mlcore/test_frozen_stages.py::test_a_network_thaws",
    "tests/mlcore/test_frozen_stages.py::test_outputs_are_worked_out_once",
    "tests/mlcore/test_training_loop.py::test_a_stopped_run",
    "tests/security/test_every_address.py",
    "tests/security/test_hostile_requests.py",
    "tests/security/test_hostile_values.py",
    "tests/web/test_blinding.py::test_no_word_of_an_answer",
    "tests/web/test_blinding.py::test_two_worlds",
    "tests/web/test_history.py::test_any_mixture",
    "tests/web/test_page_flow.py::test_every_link",
    "tests/web/test_query_counts.py",
)


@contextmanager
def untraced() -> Iterator[None]:
    """Switch the tracer off, if there is one."""
    coverage = Coverage.current()
    # Not by the coverage's own stop and start: these would prepare the processes that tests start
    # for being measured, which tests/plugins/servers.py has taken back.
    collector = coverage._collector if coverage is not None else None
    if collector is None:
        yield
        return
    collector.stop()
    try:
        yield
    finally:
        collector.start()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Run the body of a test of the list without a tracer."""
    if not item.nodeid.startswith(_UNTRACED):
        return (yield)
    with untraced():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """Make the test database without a tracer."""
    if fixturedef.argname != "django_db_setup":
        return (yield)
    with untraced():
        return (yield)
