"""Trust documents and anchors from folders."""
