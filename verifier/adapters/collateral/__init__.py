"""Endorsements and collateral: how they are fetched, kept, renewed, carried. See docs/collateral.md; what there is: ``vendors``."""
