"""``make docs``: the parts of the documentation that are made from the program, so that they cannot drift from it."""
