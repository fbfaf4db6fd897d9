"""``attester checks``: every id that the attester says no with. ``verifier checks`` lists those that it passes on."""

from __future__ import annotations

from collections.abc import Iterator

from attester.problems import hint_for
from verifier.core.catalogue import Listed, texts_in
from verifier.core.listing import checks_command


def listed(_prefix: str = "") -> Iterator[Listed]:
    """Go through every id of the attester's own, in the order of the file."""
    for check_id, text in texts_in("attester").items():
        yield Listed(check_id, text.outcome, text.meaning, hint_for(check_id))


command = checks_command(listed)
