"""How long commands take to start, beside another revision of this repository."""
