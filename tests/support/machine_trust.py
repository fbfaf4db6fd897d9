"""Trust documents of forged machines: identities and a policy that are read off a machine's own evidence."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from tests.support.forged import CONFIGURATION, ForgedMachine
from tests.support.observed import drafted
from verifier.core.binding import BindingDigest
from verifier.core.wire import EvidenceEnvelope, flatten
from verifier.formats.x509chain import ChainCache
from verifier.reference.observe import observe
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Need, Subject, Verified
from verifier.tee.verified import UnsafeUnbound, gather, run_checks

_DIGESTS: Final = tuple(hashlib.new(name, CONFIGURATION).hexdigest() for name in ("sha256", "sha384", "sha512"))
_DUMMY: Final = BindingDigest(
    whole=bytes(64), short=bytes(32), nonce=bytes(64), enc_spki=b"\x30", vouching=lambda _components: _DUMMY
)


def _received(envelope: Any) -> EvidenceEnvelope:
    return EvidenceEnvelope(
        envelope.scheme, envelope.parts, envelope.endorsements, tuple(_received(one) for one in envelope.components)
    )


def verified_now(machine: ForgedMachine, now: int) -> Verified[Any, Any]:
    """Verify what the machine says now, bound to nothing."""
    scheme = SCHEMES[machine.scheme]
    parts, endorsements = flatten(_received(machine.make(_DUMMY)))
    evidence = scheme.form.decode(parts)

    def ask(needs: tuple[Need, ...]) -> dict[str, bytes]:
        found = {need.name: machine.collateral.get((need.kind, need.key)) for need in needs}
        for need in needs:
            assert found[need.name] is not None or not need.required, f"{machine.scheme}: {need}"
        return {name: data for name, data in found.items() if data is not None}

    given = gather(scheme, evidence, endorsements, ask)
    anchors = tuple(anchor for kept in machine.anchors.values() for anchor in kept)
    subject = Subject(evidence, scheme.collateral.collate(evidence, given), anchors, now, ChainCache())
    return run_checks(scheme, subject, UnsafeUnbound())


def documents_of(machine: ForgedMachine, now: int, tenant: str = "default") -> list[dict[str, Any]]:
    """Return identities and a policy (named like the scheme) that this machine satisfies."""
    scheme, verified = SCHEMES[machine.scheme], verified_now(machine, now)
    values: Mapping[str, Mapping[str, Any]] = observe(scheme, verified, _DIGESTS).values
    return drafted(scheme, values, {}, tenant=tenant, name=machine.scheme)
