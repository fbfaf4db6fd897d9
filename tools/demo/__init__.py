"""``make demo``: the whole way once, on real parts, with embedded defaults and no Docker; then the attacks."""
