"""`make test-faults`: every fault is made in the real process tree, and the table at the end says what was seen.

A test names its fault and what is promised by ``@pytest.mark.fault(what, promised)`` and tells what it saw by the fixture ``seen``.
``VAB_TEST_FAULTS=long`` asks for the long form of those that have one.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

_SEEN = "seen"
Seen = Callable[[str], None]


@pytest.fixture
def seen(record_property: Callable[[str, object], None]) -> Seen:
    """Return what takes a figure or a sentence for the table."""
    return lambda what: record_property(_SEEN, what)


@pytest.fixture(scope="session")
def is_long() -> bool:
    """Tell whether the long form is asked for."""
    return os.environ.get("VAB_TEST_FAULTS") == "long"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test without its line of the table, and put the line into its report, which another process may print."""
    marker = item.get_closest_marker("fault")
    if marker is None or len(marker.args) != 2:
        pytest.fail('want @pytest.mark.fault("what is done", "what is promised")')
    item.user_properties.append(("fault", marker.args))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print fault, promise and what was seen, a line each."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call"
    ]
    if not reports:
        return
    terminalreporter.section("fault -> promised -> seen")
    lines = []
    for report in reports:
        told = dict(report.user_properties)
        if "fault" in told:
            what, promised = told["fault"]
            seen = "; ".join(str(value) for name, value in report.user_properties if name == _SEEN)
            lines.append(f"{report.outcome:7} {what} -> {promised} -> {seen or 'as promised'}")
    for line in sorted(lines):
        terminalreporter.write_line(line)
