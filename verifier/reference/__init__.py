"""Reference values: from artifacts (EIF, TDVF, ID block, OVMF) and from trusted machines."""
