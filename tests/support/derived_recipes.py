"""Every recipe of derived cases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import derived_cpu, derived_devices, derived_logs, derived_vtpm

if TYPE_CHECKING:
    from tests.support.derived_cases import Recipe

RECIPES: tuple[Recipe, ...] = (
    *derived_cpu.RECIPES,
    *derived_devices.RECIPES,
    *derived_vtpm.RECIPES,
    *derived_logs.RECIPES,
)
