"""Programs, not timed tests: each runs itself and its rival alternately and tells ratios (``make bench``)."""
