"""Evidence as it travels, as an attester makes it: the envelope of docs/api.md. Light on purpose: without pydantic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from verifier.formats.encoding import b64url

ENVELOPE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Envelope:
    """Evidence of one scheme by part name, and the endorsements that came with it; of a composite its components too."""

    scheme: str
    parts: Mapping[str, bytes]
    endorsements: Mapping[str, bytes] = field(default_factory=dict)
    components: tuple[Envelope, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the wire form (``verifier.core.wire.EnvelopeModel``)."""
        form: dict[str, Any] = {
            "version": ENVELOPE_VERSION,
            "scheme": self.scheme,
            "parts": {name: b64url(value) for name, value in self.parts.items()},
            "endorsements": {name: b64url(value) for name, value in self.endorsements.items()},
        }
        if self.components:
            form["components"] = [component.as_json() for component in self.components]
        return form
