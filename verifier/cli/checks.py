"""``verifier checks``: every id that the verifier says no with."""

from __future__ import annotations

from verifier.core.listing import checks_command
from verifier.tee.catalogue import listed

command = checks_command(listed)
