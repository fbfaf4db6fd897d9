"""What all tests share: where published evidence and the real parts are, and that a missing one is said aloud.

``EVIDENCE_CASES`` names the folder of published cases; no default exists. Where a part is missing its tests skip,
unless ``VAB_TEST_REQUIRE_PARTS=1`` says that everything has to be there.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.parts import published_evidence

# How long an example takes says something of the machine and nothing of what is tested. `make check` takes fewer examples.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", settings.get_profile("whole"), max_examples=20)
settings.load_profile("whole")


@pytest.fixture(scope="session")
def evidence_cases() -> Path:
    """Return the folder of published evidence."""
    return published_evidence()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say the order also where no header did: with this seed a failure comes again."""
    if terminalreporter.verbosity < 0 and "randomly_seed" in config.option:
        terminalreporter.write_line(f"Order of the tests: --randomly-seed={config.option.randomly_seed}")


def _shares(item: pytest.Function) -> str:
    """Return what a test has to share a worker for: where its widest fixture of more than one test was defined."""
    shared = [defined[-1] for defined in item._fixtureinfo.name2fixturedefs.values()]
    folders = [one.baseid for one in shared if one.scope in {"session", "package"} and one.baseid.count("/")]
    return min(folders) if folders else item.nodeid.partition("::")[0] * any(one.scope == "module" for one in shared)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests that share a server, a machine or a forged scheme run in one worker, and all others wherever there is room."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and not item.get_closest_marker("xdist_group")
            and (group := _shares(item))
        ):
            item.add_marker(pytest.mark.xdist_group(group))


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name bytes by their length: ids stay readable, and the same in every process whatever was signed into them."""
    return f"{len(val)}-bytes" if isinstance(val, bytes) and len(val) > 16 else None
