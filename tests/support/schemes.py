"""A scheme with some of its members changed, for tests that take a check out, swap anchors or give other models."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Final

from verifier.tee.scheme import IdentityModels, Scheme

_PARTS: Final = ("form", "binding", "collateral", "verification", "appraisal", "token")


def altered(scheme: Scheme[Any, Any], **members: Any) -> Scheme[Any, Any]:
    """Return the scheme with these members of its parts in place of its own (``checks=``, ``anchors=``, ``rules=``, ``models=``)."""
    changed: dict[str, Any] = {}
    if "models" in members:
        identity = IdentityModels(members.pop("models"), scheme.appraisal.exceptions)
        members["identity"] = lambda: identity
    for name, value in members.items():
        (part,) = (one for one in _PARTS if name in {field.name for field in fields(getattr(scheme, one))})
        changed[part] = replace(changed.get(part, getattr(scheme, part)), **{name: value})
    return replace(scheme, **changed)
