"""Anchors beyond the built-in ones: an operator's own roots, or the forged ones of a simulated process, from a folder.

``{private_anchor_dir}/{scheme}/*.{pem,der}``. In a simulated process they are the only anchors and count as ``simulated``;
elsewhere they count as ``private`` and stand beside the vendors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verifier.core.errors import ConfigError, MalformedEvidence
from verifier.core.x509 import parse_certificate, pem_blocks
from verifier.core.x509chain import Anchor
from verifier.tee.base import Scheme

# What the forged vendors write into their roots' names. Their keys are public: no other process may trust them.
FORGED_MARK = b"(simulated)"


def load_anchors(
    folder: str, schemes: Mapping[str, Scheme[Any, Any]], *, simulated: bool
) -> dict[str, tuple[Anchor, ...]]:
    """Return the anchors by scheme. A forged vendor's root in a process that is not simulated stops the start."""
    anchors: dict[str, tuple[Anchor, ...]] = {}
    for name, scheme in schemes.items():
        own = _from_folder(Path(folder) / name, simulated=simulated) if folder else ()
        anchors[name] = own if simulated else (*scheme.anchors, *own)
    return anchors


def _from_folder(folder: Path, *, simulated: bool) -> tuple[Anchor, ...]:
    if not folder.is_dir():
        return ()
    found: list[Anchor] = []
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".pem", ".der", ".crt"):
            continue
        try:
            data = path.read_bytes()
            certificates = [parse_certificate(der, "anchor") for der in pem_blocks(data, "CERTIFICATE") or (data,)]
        except (MalformedEvidence, ValueError) as error:
            raise ConfigError(str(path), "certificate", str(error), "certificates in PEM or DER") from None
        for certificate in certificates:
            if not simulated and FORGED_MARK in certificate.der:
                raise ConfigError(
                    str(path),
                    "certificate",
                    "a forged vendor's root",
                    "a real root, or simulated = true in a process of its own",
                )
            found.append(Anchor(path.stem, certificate.der, "simulated" if simulated else "private"))
    return tuple(found)
