"""What every layer shares: no I/O, no clock, no environment. The lowest step of the staircase."""
