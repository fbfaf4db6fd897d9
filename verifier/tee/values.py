"""What a trust owner writes: the base of every scheme's identity models, which stand in the folder's ``identity.py``."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Values(BaseModel):
    """Base of every identity model (``identity.py``): strict, closed, frozen. A field left out is ``None``.

    ``key_space``: by name of a map field, the keys that every identity answers for. One that is neither given nor listed in the
    policy's ``unchecked`` is an error. A map that is not listed has no fixed keys: what it names is what it selects.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    key_space: ClassVar[Mapping[str, tuple[str, ...]]] = MappingProxyType({})
