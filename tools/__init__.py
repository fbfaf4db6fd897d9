"""What brings the real parts to a machine that has none, and the programs around them."""
