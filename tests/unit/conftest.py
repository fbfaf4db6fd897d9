"""Key files for unit tests, and which unit tests are slow, and so no part of ``make check``.

A test is slow where its code, a fixture of its, or code of ``tests/`` that these call can start a process or open a socket, and where
it asks for more than Hypothesis's hundred examples: this is read off the code, and no list is kept. A test that computes for long
without either carries ``pytest.mark.slow`` itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.keyfiles import KeyFolder

_STARTERS = frozenset({"http.server", "multiprocessing", "socket", "socketserver", "subprocess"})


@pytest.fixture(scope="session")
def key_folder_once(tmp_path_factory: pytest.TempPathFactory) -> KeyFolder:
    """Return a key folder that no test changes."""
    from tests.support.keyfiles import make_key_folder  # most unit tests need no keys

    return make_key_folder(tmp_path_factory.mktemp("keys") / "made")


@pytest.fixture
def key_folder(key_folder_once: KeyFolder, tmp_path: Path) -> KeyFolder:
    """Return a copy for one test."""
    return key_folder_once.copy(tmp_path / "keys")


def _names(code: CodeType) -> Iterator[str]:
    """Yield every name that a function and the functions inside it use."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _functions(value: object) -> list[FunctionType]:
    """Return the functions of ``tests/`` behind a global name: itself, what it wraps, or a class's methods."""
    if isinstance(value, type):
        return [made for one in vars(value).values() for made in _functions(one)]
    if isinstance(value, classmethod | staticmethod | property):
        value = value.fget if isinstance(value, property) else value.__func__
    inner = inspect.unwrap(value) if callable(value) else None
    return [inner] if isinstance(inner, FunctionType) and inner.__module__.startswith("tests.") else []


def _is_starter(value: object) -> bool:
    if isinstance(value, ModuleType):
        return value.__name__ in _STARTERS
    if isinstance(value, type):
        return any(base.__module__ in _STARTERS for base in value.__mro__)
    return getattr(value, "__module__", None) in _STARTERS


@cache
def _used(function: FunctionType) -> tuple[bool, tuple[FunctionType, ...]]:
    """Return whether a function itself can start something, and the functions of ``tests/`` that it may call."""
    names = set(_names(function.__code__))
    values = [function.__globals__[name] for name in names & function.__globals__.keys()]
    return "fork" in names or any(map(_is_starter, values)), tuple(f for value in values for f in _functions(value))


def _starts(function: FunctionType) -> bool:
    """Tell whether a function, or what it calls in ``tests/``, can start a process or open a socket."""
    seen: set[FunctionType] = set()
    waiting = [function]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            starts, calls = _used(one)
            if starts:
                return True
            waiting += calls
    return False


def _asks_for_many(test: object) -> bool:
    """Tell whether a property test names a number of examples above the usual one."""
    stated = getattr(test, "_hypothesis_internal_use_settings", None)
    return stated is not None and stated.max_examples > 100


def _run_by(item: pytest.Function) -> list[FunctionType]:
    """Return the functions of ``tests/`` that a test runs: its own, and its fixtures'."""
    given = getattr(item.function, "hypothesis", None)
    run = [given.inner_test if given else item.function]
    run += [defined[-1].func for defined in item._fixtureinfo.name2fixturedefs.values()]
    return [made for one in run for made in _functions(one)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow."""
    for item in items:
        if not isinstance(item, pytest.Function) or not item.path.is_relative_to(Path(__file__).parent):
            continue
        if _asks_for_many(item.function) or any(map(_starts, _run_by(item))):
            item.add_marker(pytest.mark.slow)
