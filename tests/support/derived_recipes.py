"""Every recipe of derived cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import derived_clouds, derived_devices, derived_logs, derived_quotes, derived_snp, derived_vtpm

if TYPE_CHECKING:
    from tests.support.derived_cases import Recipe

_MODULES = (derived_snp, derived_quotes, derived_devices, derived_vtpm, derived_clouds, derived_logs)
RECIPES: tuple[Recipe, ...] = tuple(recipe for module in _MODULES for recipe in module.RECIPES)
