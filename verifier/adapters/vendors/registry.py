"""VENDORS: one line a vendor, the name of its module. KINDS: all rows of their tables. A name that stands twice fails at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from verifier.adapters.vendors.enrolled import enrolled_ak
from verifier.adapters.vendors.kind import Kind, Vendor
from verifier.core.ports import CollateralStore
from verifier.tee.loading import Loaded
from verifier.tee.tpm2.collateral import AK_KIND

_MODULES: Final = (
    "amd",
    "intel",
    "nvidia",
)
VENDORS: Final[Loaded[Vendor[Any]]] = Loaded(((name, f"{__package__}.{name}") for name in _MODULES), "VENDOR", "name")
_ROWS: Final = [(kind, vendor.name) for vendor in VENDORS.values() for kind in vendor.kinds]
KINDS: Final[Mapping[str, Kind[Any]]] = MappingProxyType({kind.name: kind for kind, _vendor in _ROWS})
VENDOR_OF: Final[Mapping[str, str]] = MappingProxyType({kind.name: vendor for kind, vendor in _ROWS})
if len(KINDS) != len(_ROWS):
    raise TypeError(f"a kind stands twice in {sorted(kind.name for kind, _vendor in _ROWS)}")
# What no vendor publishes: the verifier's own store answers it, for a tenant and a key.
STORED: Final[Mapping[str, Callable[[CollateralStore, str, str], bytes]]] = MappingProxyType({AK_KIND: enrolled_ak})
