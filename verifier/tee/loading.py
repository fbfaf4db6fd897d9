"""A table whose entries are loaded when they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Loaded(Mapping[str, T], Generic[T]):
    """Name to module, read like a mapping of what the modules hold.

    ``modules``: (name, module) pairs; a name that stands twice is a ``TypeError`` at once. ``attribute``: what is read from a
    module. ``own_name``: the attribute by which the entry says its own name; another name than the table's is a ``TypeError``
    when the entry is loaded. Iterating over the names loads nothing.
    """

    def __init__(self, modules: Iterable[tuple[str, str]], attribute: str, own_name: str) -> None:
        self._modules: dict[str, str] = {}
        for name, module in modules:
            if name in self._modules:
                raise TypeError(f"{name!r} is registered twice")
            self._modules[name] = module
        self._attribute = attribute
        self._own_name = own_name
        self._entries: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """Load an entry, or return the one that was loaded; ``KeyError`` for a name that the table does not have."""
        found = self._entries.get(name)
        if found is None:
            entry: Any = getattr(import_module(self._modules[name]), self._attribute)
            if getattr(entry, self._own_name) != name:
                raise TypeError(f"{self._modules[name]}: got {getattr(entry, self._own_name)!r}, want {name!r}")
            found = self._entries[name] = entry
        return found

    def __contains__(self, name: object) -> bool:
        """Tell whether the table has a name; loads nothing."""
        return name in self._modules

    def __iter__(self) -> Iterator[str]:
        """Go through the names, in the order of the table."""
        return iter(self._modules)

    def __len__(self) -> int:
        """Count the names."""
        return len(self._modules)
