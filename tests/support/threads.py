"""Several threads that do the same at once."""

from __future__ import annotations

import threading
from collections.abc import Callable


def in_threads(count: int, *work: Callable[[], object]) -> None:
    """Run every piece of work in so many threads of its own, all at once, and wait for them."""
    threads = [threading.Thread(target=one) for one in work for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
