"""Certificate chains beside ``cryptography.x509.verification``: whole, with a field changed and signed again, rearranged, mutated.

Both are asked whether a chain leads to a root at a time. The peer is told to want of a CA what attestation needs (basicConstraints
with ``cA``, no keyUsage without keyCertSign) and not what browsers want. Neither is asked for CRLs, which the peer does not know.
"""

from __future__ import annotations

import datetime as dt
import random
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from forge import certificates
from forge.aws_nitro import AUTHORITIES, ForgedNitro, nitro_key
from forge.intel import ForgedIntel
from forge.intel_pki import authority_key as intel_key
from forge.nvidia_gpu import ForgedNvidia
from forge.sev_snp import ForgedAmd
from forge.sev_snp import authority_key as amd_key
from tests.differential.comparing import Known, Tally, compare, our_verdict
from tests.differential.mutation import mutate
from verifier.formats.x509 import (
    OID_AUTHORITY_KEY_ID,
    OID_SUBJECT_KEY_ID,
    USAGE_CERT_SIGN,
    USAGE_CRL_SIGN,
    USAGE_DIGITAL_SIGNATURE,
    parse_certificate,
)
from verifier.formats.x509chain import MAX_CHAIN, Anchor, ChainCache, ChainIds, verify_chain

NOW: Final = 1_780_000_000
REARRANGED: Final = "rearranged"
_DAY: Final = 86_400
_IDS: Final = ChainIds.below("chain")
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True, slots=True)
class Vendor:
    """A wholesome chain from the leaf up to below the root, the root, and whose key signed each certificate."""

    name: str
    chain: tuple[bytes, ...]
    root: bytes
    signers: tuple[Key, ...]
    usual: Callable[[Any], certificates.Signer]


@cache
def vendors() -> tuple[Vendor, ...]:
    """Return one chain of each kind: RSA-PSS with SHA-384, ECDSA on P-256 and on P-384; two, three and five certificates."""
    amd, nitro, gpu = ForgedAmd("Milan", now=NOW), ForgedNitro(now=NOW), ForgedNvidia()
    intel = ForgedIntel(now=NOW, like_intel=True, ca="platform", event_log=None)
    roles = ("device", "provisioner", "product", "root")
    return (
        Vendor(
            "amd",
            (amd.vek(), amd.ask()),
            amd.ark(),
            (amd_key("Milan", "ask"), amd_key("Milan", "ark")),
            certificates.pss_sha384,
        ),
        Vendor(
            "nitro",
            (nitro.leaf(), *reversed(nitro.cabundle()[1:])),
            nitro.cabundle()[0],
            tuple(nitro_key(who) for who in reversed(AUTHORITIES)),
            certificates.ecdsa_sha384,
        ),
        Vendor(
            "nvidia",
            gpu.chain()[:-1],
            gpu.chain()[-1],
            tuple(gpu.key_of(role) for role in roles),
            certificates.ecdsa_sha384,
        ),
        Vendor(
            "intel",
            (intel.pck(), intel.authority(intel.ca)),
            intel.root(),
            (intel_key(intel.ca), intel_key("root")),
            certificates.ecdsa_sha256,
        ),
    )


def judge(chain: Sequence[bytes], root: bytes, now: int) -> None:
    """Verify as every scheme does, with the algorithms of all of them."""
    certificates = [parse_certificate(der, "chain.decode") for der in chain]
    verify_chain(certificates, (Anchor("forged", root, "simulated"),), now=now, ids=_IDS, cache=ChainCache())


def _is_ca(_policy: Policy, _certificate: x509.Certificate, extension: x509.BasicConstraints) -> None:
    if not extension.ca:
        raise ValueError("not a CA")


def _may_sign(_policy: Policy, _certificate: x509.Certificate, extension: x509.KeyUsage | None) -> None:
    if extension is not None and not extension.key_cert_sign:
        raise ValueError("keyCertSign is not set")


_CA_POLICY: Final = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _is_ca)
    .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _may_sign)
)


def ask(chain: Sequence[bytes], root: bytes, now: int) -> str:
    """Return "" for a yes of the peer, else its reason."""
    with warnings.catch_warnings():
        # AMD's serial numbers are 0; ``cryptography`` says that it will refuse them one day.
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        try:
            leaf, *above = [x509.load_der_x509_certificate(der) for der in chain]
            store = Store([x509.load_der_x509_certificate(root)])
            moment = dt.datetime.fromtimestamp(now, dt.UTC).replace(tzinfo=None)
            builder = PolicyBuilder().store(store).time(moment).max_chain_depth(MAX_CHAIN - 2)
            policies = {"ca_policy": _CA_POLICY, "ee_policy": ExtensionPolicy.permit_all()}
            builder.extension_policies(**policies).build_client_verifier().verify(leaf, above)
        except (VerificationError, x509.InvalidVersion, ValueError, TypeError) as error:
            return f"{type(error).__name__}: {error}"
    return ""


def reforged(der: bytes, signer: certificates.Signer, **changes: Any) -> bytes:
    """Write a certificate again with these fields in place of its own, signed."""
    known = parse_certificate(der, "chain.decode")
    return certificates.forge_certificate(
        **{
            "serial": known.serial,
            "issuer": known.issuer,
            "subject": known.subject,
            "validity": (known.not_before, known.not_after),
            "public_key": known.spki,
            "signer": signer,
            "extensions": extras(der),
            **changes,
        }
    )


def extras(der: bytes) -> tuple[certificates.Extra, ...]:
    """Return a certificate's extensions as they can be written again."""
    known = parse_certificate(der, "chain.decode").extensions
    return tuple(certificates.Extra(oid, one.value, critical=one.critical) for oid, one in known.items())


def _replaced(written: Sequence[certificates.Extra], extra: certificates.Extra) -> tuple[certificates.Extra, ...]:
    return (*(one for one in written if one.oid != extra.oid), extra)


@cache
def _other_keys() -> tuple[bytes, ...]:
    """Public keys that none of the vendors uses, weak ones and strong ones."""
    keys: tuple[Any, ...] = (
        rsa.generate_private_key(public_exponent=65537, key_size=1024),  # noqa: S505 - to be refused
        ec.generate_private_key(ec.SECP192R1()),
        ec.generate_private_key(ec.SECP256K1()),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP521R1()),
        amd_key("Genoa", "ask"),
    )
    return tuple(certificates.spki(key.public_key()) for key in keys)


def _other_signers(key: Key) -> tuple[certificates.Signer, ...]:
    if isinstance(key, rsa.RSAPrivateKey):
        return (certificates.pkcs1_sha384(key), certificates.pss_sha384(amd_key("Genoa", "ask")))
    other = nitro_key("nobody", key.curve)
    return (
        certificates.ecdsa_sha256(key),
        certificates.ecdsa_sha384(key),
        certificates.ecdsa_sha256(other),
        certificates.ecdsa_sha384(other),
    )


def _changes(der: bytes, dice: random.Random) -> dict[str, Any]:
    """Change one field to something that a careless or a false authority could have signed; now and then nothing."""
    written = extras(der)
    chosen = dice.choice(written)
    match dice.randrange(12):
        case 0:
            moments = (NOW, NOW - 1, NOW + 1, NOW - _DAY, NOW + _DAY, 0, 2_600_000_000)
            return {"validity": tuple(sorted(dice.sample(moments, 2)))}
        case 1:
            return {dice.choice(("issuer", "subject")): certificates.common_name_of("Somebody else", "Nobody")}
        case 2:
            return {"serial": dice.choice((0, 1, -1, 1 << 158, (1 << 159) - 1, 1 << 159, 1 << 200))}
        case 3:
            return {"public_key": dice.choice(_other_keys())}
        case 4 | 5:
            limit = dice.choice((None, None, 0, 1, 2, 3))
            return {
                "extensions": _replaced(
                    written, certificates.basic_constraints(ca=dice.random() < 0.8, path_length=limit)
                )
            }
        case 6:
            bits = dice.choice(((USAGE_CERT_SIGN,), (USAGE_CRL_SIGN,), (USAGE_DIGITAL_SIGNATURE, USAGE_CERT_SIGN)))
            return {"extensions": _replaced(written, certificates.key_usage(*bits))}
        case 7:
            unknown = certificates.Extra("1.3.6.1.4.1.99999.1", b"\x05\x00", critical=dice.random() < 0.5)
            return {"extensions": (*written, unknown)}
        case 8:
            return {"extensions": tuple(one for one in written if one.oid != chosen.oid)}
        case 9:
            return {"extensions": _replaced(written, replace(chosen, critical=not chosen.critical))}
        case 10:
            other = dice.choice((certificates.subject_key_id(bytes(20)), certificates.authority_key_id(bytes(20))))
            return {"extensions": _replaced(written, other)}
    return {}


def _rearranged(chain: Sequence[bytes], root: bytes, dice: random.Random) -> list[bytes]:
    """Leave out, swap, double or add certificates."""
    made = list(chain)
    match dice.randrange(5):
        case 0:
            del made[dice.randrange(len(made))]
        case 1:
            dice.shuffle(made)
        case 2:
            made.insert(dice.randrange(len(made) + 1), dice.choice(made))
        case 3:
            made.append(root)
        case _:
            made.insert(dice.randrange(1, len(made) + 1), dice.choice(dice.choice(vendors()).chain))
    return made


def inputs(seed: int, count: int) -> Iterator[tuple[str, Vendor, list[bytes], int]]:
    """Yield named chains with the time to judge them at: wholesome ones, then changed, rearranged and mutated ones."""
    dice = random.Random(f"chains {seed}")  # noqa: S311 - a seed, so that a finding can be had again
    for vendor in vendors():
        yield f"{vendor.name} whole", vendor, list(vendor.chain), NOW
    for number in range(count):
        vendor = dice.choice(vendors())
        chain, what = list(vendor.chain), f"{vendor.name} #{number}"
        place = dice.randrange(len(chain))
        der, key = chain[place], vendor.signers[place]
        match number % 4:
            case 0 | 1:
                changes = _changes(der, dice)
                signer = vendor.usual(key) if changes or dice.random() < 0.3 else dice.choice(_other_signers(key))
                chain[place] = reforged(der, signer, **changes)
                yield f"{what} [{place}] {changes or signer.algorithm.hex()}", vendor, chain, NOW
            case 2:
                yield f"{what} {REARRANGED}", vendor, _rearranged(chain, vendor.root, dice), NOW
            case _:
                chain[place] = mutate(der, dice)
                yield f"{what} [{place}] mutated", vendor, chain, NOW


def _ours_says(name: str, *texts: str) -> Known:
    """Name a refusal of ours alone, by what stands in its reason."""
    return Known(name, lambda ours, theirs: not theirs and any(text in ours for text in texts))


# Each with its clause in docs/adr/0008-differential-tests.md.
KNOWN: Final[tuple[Known, ...]] = (
    _ours_says(
        "x509-2 critical key identifier", f"critical ['{OID_AUTHORITY_KEY_ID}']", f"critical ['{OID_SUBJECT_KEY_ID}']"
    ),
    _ours_says("x509-3 key of the leaf", "chain[0].subjectPublicKeyInfo:"),
    _ours_says("x509-4 path length of what is no CA", "path length without CA"),
    _ours_says("x509-5 key identifier of another root", "chain.root:"),
    _ours_says("x509-6 bits after the signature", "certificate.signature: spare bits"),
)
_OF_REARRANGED: Final = _ours_says("x509-1 order and surplus", "chain.root:", "chain.constraints:", "chain.signature:")


def run(*, seed: int, count: int) -> Tally:
    """Compare over ``count`` chains and one of each vendor."""
    tally = Tally()
    for name, vendor, chain, now in inputs(seed, count):
        ours = our_verdict(lambda chain=chain, vendor=vendor, now=now: judge(chain, vendor.root, now))  # type: ignore[misc]
        known = (_OF_REARRANGED, *KNOWN) if name.endswith(REARRANGED) else KNOWN
        compare(tally, name, ours, ask(chain, vendor.root, now), known)
    return tally
