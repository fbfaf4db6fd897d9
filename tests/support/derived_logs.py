from __future__ import annotations

RECIPES: tuple[()] = ()
