"""Anchors beyond the built-in ones: an operator's own roots, or the forged ones of a simulated process, from a folder.

``{private_anchor_dir}/{scheme}/*.{pem,der,crt}``. In a simulated process they are the only anchors and count as ``simulated``;
elsewhere they count as ``private`` and stand beside the vendors'. ``tpm2/{anchor}.crl.{pem,der}`` beside ``tpm2/{anchor}.pem`` is a
CRL that is required of that anchor from then on (enrolment). Folders are read at start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from verifier.formats.encoding import sha256
from verifier.formats.errors import ConfigError, MalformedEvidence
from verifier.formats.pem import pem_blocks
from verifier.formats.x509 import Certificate, Crl, parse_certificate, parse_crl
from verifier.formats.x509chain import Anchor, is_crl_of
from verifier.tee.scheme import Scheme

_SUFFIXES = (".pem", ".der", ".crt")
_CRL_SUFFIX = ".crl"  # before the other one
# Whose anchors name their CRLs. Those of sev-snp lie in endorsement_dir, where they are read anew.
_WITH_CRLS = frozenset(("tpm2",))
# The forged vendors' keys are public: no process but a simulated one may trust them. What they write into their names says so,
# but every holder of a key can change the name, so the keys themselves are known too.
FORGED_MARK = b"(simulated)"
# SHA-256 of the SubjectPublicKeyInfo of every CA key that ``forge`` derives or carries (a test holds them together).
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
        "bcb49c421fb30062e2c046e38d56aa486837e7cc78e585e1884ae271f01c61b2",  # Intel SGX root CA
        "172933e64c3e1f8d65d52493bacb9b660433aca2940f87018ca29624b80077ff",  # Intel PCK Platform CA
        "855c263b54f8d203d2603b84b9f8cfeca89b90656eb04512d0fe92edea9559f3",  # Intel PCK Processor CA
        "60f25862f83254a443f52caaf500482442a01bee3b676d3850152a7d31097af7",  # Intel TCB signing
        "d0eb3e857853303613b5be0239807b33c7d84b2ac04b6889f43d0b419513e70e",  # NVIDIA, root
        "0936875be199169815b2f5ce412d1969505d64c6fc8c8b2202eb4a3c1ae18de5",  # NVIDIA, product line
        "e96265a7d62037c4af3f376de2cc58651a3692d0fd5646170ff43d934aa976ab",  # NVIDIA, provisioner
        "0fe57249a22c4aaf040557a064b2d7f0f6fe4da7f23df73d69f374129ca7d568",  # Nitro, root
        "652c909b29dda2f61927be312547403c433e7f00c2161d30e6300fe6da7909ac",  # Nitro, region
        "e6372e65940003c51caabf9a26802ac8f2601a42217578014b7440d5785fccba",  # Nitro, zone
        "a8dc645982b1e009c118e05c4048fac7edb5b387f59b2a491adf3cf2abfbe72b",  # Nitro, instance
        "4737311f2676994b511509c722708fa524918f7146fa3f6ab9f31dd7d8b1693d",  # CCA endorser
        "0cf589904277f05623545a170290cc512369a8c8e146b853fd76120ca2408cd2",  # Azure vTPM, root
        "6b3c50983f4864d9c3d3536bfcb6eb042bd20c3e60f3053e6a9c4ed3412922d3",  # Azure vTPM, intermediate
        "6aa68d5a4181c92ccf0daa4b29a119e2bd8bdb8d0858ba9b562ee0cfe02698ed",  # Google vTPM, root
        "f363b515abcb965d5fbc5dd5b9ebf792cac6cd1ff3becb1d5f433e79e2643a58",  # Google vTPM, intermediate
    )
)


class Anchors(Mapping[str, tuple[Anchor, ...]]):
    """Anchors by scheme: the built-in ones (of a process that is not simulated), then those of the folder.

    ``own``: what the folder has, by scheme. A scheme is loaded when its anchors are asked for, not before.
    """

    def __init__(
        self, schemes: Mapping[str, Scheme[Any, Any]], own: Mapping[str, tuple[Anchor, ...]], *, simulated: bool
    ) -> None:
        self._schemes = schemes
        self._own = own
        self._simulated = simulated
        self._found: dict[str, tuple[Anchor, ...]] = {}

    def __getitem__(self, name: str) -> tuple[Anchor, ...]:
        """Return a scheme's anchors; ``KeyError`` for a scheme that the verifier does not have."""
        found = self._found.get(name)
        if found is None:
            scheme = self._schemes[name]
            # A composite trusts whom its parts trust.
            own = tuple(
                anchor for source in (name, *scheme.verification.anchors_of) for anchor in self._own.get(source, ())
            )
            found = self._found[name] = own if self._simulated else (*scheme.verification.anchors, *own)
        return found

    def __iter__(self) -> Iterator[str]:
        """Go through the names of the schemes."""
        return iter(self._schemes)

    def __len__(self) -> int:
        """Count the schemes."""
        return len(self._schemes)


def load_anchors(folder: str, schemes: Mapping[str, Scheme[Any, Any]], *, simulated: bool) -> Anchors:
    """Read the folder; returns the anchors by scheme.

    A forged vendor's root in a process that is not simulated stops the start. So does a folder that is named and not there: the
    verifier would otherwise trust no root, and say so at the first login only.
    """
    if folder and not Path(folder).is_dir():
        raise ConfigError("settings", "private_anchor_dir", folder, "a folder with one subfolder a scheme")
    own = {name: _from_folder(Path(folder) / name, simulated=simulated) for name in schemes} if folder else {}
    return Anchors(schemes, own, simulated=simulated)


def is_forged(certificate: Certificate) -> bool:
    """Tell whether a certificate is a forged vendor's: by its key, whatever its names say, or by its names."""
    return sha256(certificate.spki) in FORGED_KEYS or FORGED_MARK in certificate.der


def _from_folder(folder: Path, *, simulated: bool) -> tuple[Anchor, ...]:
    if not folder.is_dir():
        return ()
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _SUFFIXES]
    lists = [path for path in files if Path(path.stem).suffix == _CRL_SUFFIX]
    crls = {path: _crl(path) for path in lists}
    found: list[Anchor] = []
    for path in files:
        if path in crls:
            continue
        for certificate in _certificates(path):
            if not simulated and is_forged(certificate):
                raise ConfigError(
                    str(path),
                    "certificate",
                    "a forged vendor's root",
                    "a real root, or simulated = true in a process of its own",
                )
            crl_der = _crl_of(certificate, crls)
            found.append(Anchor(path.stem, certificate.der, "simulated" if simulated else "private", crl_der))
    for path in lists:
        name = Path(path.stem).stem
        if not any(anchor.name == name and anchor.crl_der for anchor in found):
            raise ConfigError(
                str(path), "crl", "a list that is not signed by it", f"one of {name}'s, beside {name}.pem"
            )
    return tuple(found)


def _crl_of(certificate: Certificate, crls: Mapping[Path, tuple[bytes, Crl]]) -> bytes:
    """Return the list that an anchor's key signed, whichever file names the anchor: pinned twice, it has the list twice."""
    signed = [path for path, (_der, crl) in crls.items() if is_crl_of(crl, certificate)]
    if len(signed) > 1:
        raise ConfigError(str(signed[1]), "crl", f"a second list beside {signed[0].name}", "one CRL an issuer")
    return crls[signed[0]][0] if signed else b""


def _crl(path: Path) -> tuple[bytes, Crl]:
    if path.parent.name not in _WITH_CRLS:
        raise ConfigError(
            str(path),
            "crl",
            path.parent.name,
            "a CRL beside a root of tpm2; lists of other schemes go into endorsement_dir",
        )
    try:
        data = path.read_bytes()
        blocks = pem_blocks(data, "X509 CRL") or (data,)
        if len(blocks) != 1:
            raise ConfigError(str(path), "crl", f"{len(blocks)} lists", "one")
        return blocks[0], parse_crl(blocks[0], "anchor")
    except OSError as error:
        raise ConfigError(str(path), "crl", error.strerror, "a readable file") from None
    except (MalformedEvidence, ValueError) as error:
        raise ConfigError(str(path), "crl", str(error), "a CRL in PEM or DER") from None


def _certificates(path: Path) -> list[Certificate]:
    try:
        data = path.read_bytes()
        return [parse_certificate(der, "anchor") for der in pem_blocks(data, "CERTIFICATE") or (data,)]
    except OSError as error:
        raise ConfigError(str(path), "certificate", error.strerror, "a readable file") from None
    except (MalformedEvidence, ValueError) as error:
        raise ConfigError(str(path), "certificate", str(error), "certificates in PEM or DER") from None
