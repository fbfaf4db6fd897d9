"""Anchors beyond the built-in ones: an operator's own roots, or the forged ones of a simulated process, from a folder.

``{private_anchor_dir}/{scheme}/*.{pem,der,crt}``. In a simulated process they are the only anchors and count as ``simulated``;
elsewhere they count as ``private`` and stand beside the vendors'.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verifier.core.encoding import sha256
from verifier.core.errors import ConfigError, MalformedEvidence
from verifier.core.x509 import Certificate, parse_certificate, pem_blocks
from verifier.core.x509chain import Anchor
from verifier.tee.base import Scheme

# The forged vendors' keys are public: no process but a simulated one may trust them. What they write into their names says so,
# but a name can be changed by anybody who has the key, so the keys themselves are known too.
FORGED_MARK = b"(simulated)"
# SHA-256 of the SubjectPublicKeyInfo of every CA key that ``attester.simulated`` derives or carries (a test holds them together).
FORGED_KEYS = frozenset(
    bytes.fromhex(digest)
    for digest in (
        "4af31c4fe4abc55c3f1d54c30e03e38bcc93f8dfd91c200c60fe66a45d0c36c4",  # AMD Milan ARK
        "67f74afa16c80b160b1e2fb908e5c42cab096dc01a5a3f7d53b3d3ca5d88076e",  # AMD Milan ASK
        "9a522c661ff7a3a8a09e8d55d0cebef8935421d0bff88f8671840f32fb54080e",  # AMD Milan ASVK
        "885fd9f7126722c7f9b51825018bc0c339552882309fb96dd7999e3df154806d",  # AMD Genoa ARK
        "c5b80ffdf27452025405775227aa3fc479bcb6ad0b792f8a5cae71b7951d67a4",  # AMD Genoa ASK
        "2888602c9b7b482da62541bb6589400651e9d81336602dbedaaf2ce5ff112873",  # AMD Genoa ASVK
        "7a0330098081094eb9e0a998db3fa4c178da064993e96e49898db0e4c733b8cc",  # AMD Turin ARK
        "342273d7eade3dca37106cc253f05453bd3c0b9bd920caa6e5c2975f12f4e1d5",  # AMD Turin ASK
        "2f7dee0ed848a29bd7d2e67273df472fcc35530e24e55b95104877951f6c52a3",  # AMD Turin ASVK
        "84b11082b5d3338f5458a738eecc13944c788291291b0407903357633c13b039",  # TPM vendor, root
        "06fc1a502b75e919395d3b6ff8e3bea52f40038269915361496645fc970f5392",  # TPM vendor, issuing CA
    )
)


def load_anchors(
    folder: str, schemes: Mapping[str, Scheme[Any, Any]], *, simulated: bool
) -> dict[str, tuple[Anchor, ...]]:
    """Return the anchors by scheme. A forged vendor's root in a process that is not simulated stops the start.

    So does a folder that is named and not there: it would otherwise trust nobody, and say so at the first login only.
    """
    if folder and not Path(folder).is_dir():
        raise ConfigError("settings", "private_anchor_dir", folder, "a folder with one subfolder a scheme")
    anchors: dict[str, tuple[Anchor, ...]] = {}
    for name, scheme in schemes.items():
        own = _from_folder(Path(folder) / name, simulated=simulated) if folder else ()
        anchors[name] = own if simulated else (*scheme.anchors, *own)
    return anchors


def is_forged(certificate: Certificate) -> bool:
    """Tell whether a certificate is a forged vendor's: by its key, whatever its names say, or by its names."""
    return sha256(certificate.spki) in FORGED_KEYS or FORGED_MARK in certificate.der


def _from_folder(folder: Path, *, simulated: bool) -> tuple[Anchor, ...]:
    if not folder.is_dir():
        return ()
    found: list[Anchor] = []
    for path in sorted(folder.iterdir()):
        if path.suffix not in (".pem", ".der", ".crt"):
            continue
        for certificate in _certificates(path):
            if not simulated and is_forged(certificate):
                raise ConfigError(
                    str(path),
                    "certificate",
                    "a forged vendor's root",
                    "a real root, or simulated = true in a process of its own",
                )
            found.append(Anchor(path.stem, certificate.der, "simulated" if simulated else "private"))
    return tuple(found)


def _certificates(path: Path) -> list[Certificate]:
    try:
        data = path.read_bytes()
        return [parse_certificate(der, "anchor") for der in pem_blocks(data, "CERTIFICATE") or (data,)]
    except OSError as error:
        raise ConfigError(str(path), "certificate", error.strerror, "a readable file") from None
    except (MalformedEvidence, ValueError) as error:
        raise ConfigError(str(path), "certificate", str(error), "certificates in PEM or DER") from None
