"""Endorsements and collateral: where they come from, how they are kept, who fetches them. See docs/collateral.md."""

from __future__ import annotations

from verifier.adapters.collateral.cache import Cache, Entry
from verifier.adapters.collateral.folder import Folder
from verifier.adapters.collateral.items import Item
from verifier.adapters.collateral.sources import AK_KIND, Collateral, FolderCollateral

__all__ = ["AK_KIND", "Cache", "Collateral", "Entry", "Folder", "FolderCollateral", "Item"]
