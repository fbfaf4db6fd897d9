"""Is it genuine? Google's root -> AK certificate -> AK -> quote -> PCRs and nonce; beside it, if it came, the CPU's report.

The AK is restricted because Google certifies no other key as a vTPM's AK: the certificate has to be for signatures (an EK's, which the
same CA issues, is not). With a CPU report that report is the binder: it carries the binding digest with the vTPM's parts in its list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from verifier.formats.errors import CannotDecide, Failed, mismatch
from verifier.formats.x509 import USAGE_DIGITAL_SIGNATURE
from verifier.formats.x509chain import Root
from verifier.tee.chain import own_anchors, pinned
from verifier.tee.gcp_vtpm.decode import CPUS, NAME, Evidence, prefix_of, stripped
from verifier.tee.gcp_vtpm.layout import OID_INSTANCE, Instance, decode_instance
from verifier.tee.scheme import Carried, Check, Inner, Need, Subject
from verifier.tee.tpm2.keys import Key, checked_key
from verifier.tee.tpm2.layout import ALG_ECDSA, ALG_RSASSA
from verifier.tee.verified import weakest_root
from verifier.tee.vtpm.akcert import AkChain, chain_steps, read_chain
from verifier.tee.vtpm.verify import quote_checks

AK_CERT: Final = "gcp-vtpm.endorsement.ak_cert"
SCHEMES: Final = frozenset((ALG_RSASSA, ALG_ECDSA))
# AMD's root is pinned: an ARK need not come.
ENDORSEMENTS: Final = frozenset({"ak_cert", "ak_chain"}) | frozenset(
    prefix_of(cpu) + name for cpu in CPUS for name in cpu.form.endorsements - {"ark"}
)


ANCHORS: Final = (
    pinned(__package__, "Google EK/AK CA Root", "google_ek_ak_ca_root.der"),
    pinned(__package__, "Google tpm_ek_v1_cloud_host_root", "google_tpm_ek_v1_cloud_host_root.der"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Collateral:
    """The AK's certificate with what Google wrote into it, and what the CPU's report needs."""

    ak_chain: AkChain | None
    instance: Instance | None
    cpu: Any


GcpSubject: TypeAlias = Subject[Evidence, Collateral]


def needs(evidence: Evidence, have: Mapping[str, bytes]) -> tuple[Need, ...]:
    """Ask for what the CPU's report needs, under names that carry its scheme's."""
    if evidence.cpu is None:
        return ()
    scheme, prefix = evidence.cpu.scheme, prefix_of(evidence.cpu.scheme)
    own = stripped(scheme, have)
    return tuple(replace(need, name=prefix + need.name) for need in scheme.collateral.needs(evidence.cpu.evidence, own))


def instance_of(chain: AkChain) -> Instance | None:
    """Read the instance identity of an AK certificate; ``None`` where it has none."""
    extension = chain.leaf.extensions.get(OID_INSTANCE)
    return None if extension is None else decode_instance(extension.value, AK_CERT)


def collate(evidence: Evidence, given: Mapping[str, bytes]) -> Collateral:
    """Read the AK's certificate and the CPU's collateral."""
    chain = read_chain(given, NAME)
    cpu = evidence.cpu
    below = None if cpu is None else cpu.scheme.collateral.collate(cpu.evidence, stripped(cpu.scheme, given))
    return Collateral(chain, None if chain is None else instance_of(chain), below)


def _cpu_subject(subject: GcpSubject) -> Subject[Any, Any] | None:
    cpu = subject.evidence.cpu
    if cpu is None:
        return None
    anchors = own_anchors(subject.anchors, cpu.scheme.verification.anchors)
    return Subject(cpu.evidence, subject.collateral.cpu, anchors, subject.now, subject.chains)


def inner(subject: GcpSubject) -> tuple[Inner, ...]:
    """Have the CPU's report verified; what it carries is compared through ``also_bound``."""
    cpu, below = subject.evidence.cpu, _cpu_subject(subject)
    return () if cpu is None or below is None else (Inner(cpu.scheme, below),)


def also_bound(evidence: Evidence) -> tuple[Carried, ...]:
    """Name what the CPU's report has to carry: the digest with the vTPM's parts in its list."""
    cpu = evidence.cpu
    if cpu is None:
        return ()
    return (Carried(cpu.scheme.binding.value(cpu.evidence), cpu.scheme.binding.size, (evidence.component,)),)


def chain_of(subject: GcpSubject) -> AkChain:
    """Return the AK's chain, which has to be there: nothing else knows the key."""
    chain = subject.collateral.ak_chain
    if chain is None:
        raise CannotDecide(AK_CERT, "ak_cert: got nothing, want the certificate of this vTPM's AK")
    return chain


AK_CHAIN: Final = chain_steps(chain_of, ANCHORS)


def ak_of(subject: GcpSubject) -> Key:
    """Return the attestation key of the verified certificate."""
    return checked_key(AK_CHAIN.path(subject).leaf_key(), AK_CERT)


def require_usage(chain: AkChain) -> None:
    """Refuse a certificate that is not for signatures alone: an endorsement key's, a CA's, one that does not say."""
    usage = chain.leaf.key_usage
    if usage != frozenset({USAGE_DIGITAL_SIGNATURE}) or chain.leaf.is_ca:
        got = "none" if usage is None else sorted(usage)
        raise Failed(mismatch("AK certificate keyUsage", got, "digitalSignature alone, and no CA"))


def _check_usage(subject: GcpSubject) -> None:
    require_usage(chain_of(subject))


def _check_instance(subject: GcpSubject) -> None:
    if subject.collateral.instance is None:
        raise Failed(f"AK certificate: got no extension {OID_INSTANCE}, want the instance identity")


def root_of(subject: GcpSubject) -> Root:
    """Return the weaker word of Google's and the CPU vendor's."""
    own = AK_CHAIN.root_of(subject)
    cpu, below = subject.evidence.cpu, _cpu_subject(subject)
    return own if cpu is None or below is None else weakest_root(own, cpu.scheme.verification.root(below))


CHECKS: Final[tuple[Check[Any, Any], ...]] = (
    *AK_CHAIN.checks(f"{NAME}.ak-cert"),
    Check("gcp-vtpm.ak-cert.usage", _check_usage),
    Check("gcp-vtpm.ak-cert.instance", _check_instance),
    *quote_checks(NAME, ak_of, schemes=SCHEMES),
)
