"""Types of fields that several pydantic models share. Hex is lower case; ``HexN`` is N bytes, which is 2 N digits.

The attester does without pydantic and imports nothing of this.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, StringConstraints

from verifier.formats.encoding import NAME

Hex8 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
Hex16 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
Hex32 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex48 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{96}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{128}$")]
Sha256Hex = Hex32
Sha384Hex = Hex48

NAME_PATTERN: Final = f"^{NAME.pattern}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]
SchemeName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]

Base64Url = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]*$")]
