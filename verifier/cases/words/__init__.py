"""What each evidence claim means: one TOML file a platform, by the claim's dotted name. ``verifier explain`` prints it.

``[words]`` has the file's own; ``[[include]]`` takes the words ``of`` another file, ``under`` a claim of this one ("": beside them).
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from verifier.core.packaged import packaged


@cache
def words_of(name: str) -> Mapping[str, str]:
    """Read a file of words with all that it includes; its own go before what is included."""
    data = tomllib.loads(packaged(__name__, f"{name}.toml").decode())
    included = {
        f"{one['under']}.{claim}" if one["under"] else claim: text
        for one in data.get("include", ())
        for claim, text in words_of(one["of"]).items()
    }
    return MappingProxyType({**included, **data["words"]})
