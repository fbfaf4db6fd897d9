"""Raise one issuer's mark to many numbers in a mixed order, and take one lease; say what the store answered."""

from __future__ import annotations

import random
import sys

from verifier.adapters.sql import open_store

store = open_store(sys.argv[1])
highest = 0
for number in random.sample(range(1, 60), 59):
    store.raise_high_water("issuer", number)
    highest = max(highest, number)
    # Whatever was raised by anyone stays: a number below what this process saw is never accepted again.
    if highest > 1 and store.raise_high_water("issuer", highest - 1):
        print("fell", highest)  # noqa: T201
print("lease", store.acquire_lease("worker", sys.argv[2], 60_000))  # noqa: T201
store.close()
