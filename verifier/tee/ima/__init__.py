"""Linux IMA measurement lists: what they say, and whether a register's value bears them out. No scheme by itself."""
