"""Reference values: computed from artifacts, or read from a machine that is already trusted. Pure."""
