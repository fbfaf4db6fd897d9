"""What the vectors of ``sev-snp`` are made of: chips, values that hold, and changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from forge.certificates import (
    Extra,
    der_integer,
    forge_certificate,
    spki,
)
from forge.sev_snp import ForgedAmd, authority_key
from tests.support.vectors import Vector, forging
from verifier.core.binding import BindingDigest
from verifier.tee.sev_snp import layout
from verifier.tee.verified import Bound

NOW: Final = 1_800_000_000
YEAR: Final = 365 * 86_400
DATA: Final = bytes(range(64))
MILAN: Final = ForgedAmd("Milan", now=NOW)
GENOA: Final = ForgedAmd("Genoa", now=NOW)
TURIN: Final = ForgedAmd("Turin", now=NOW)
CSP: Final = "CN=forged-cloud.example"
VLEK: Final = ForgedAmd("Milan", now=NOW, csp_id=CSP)
OTHER_CHIP: Final = ForgedAmd("Milan", now=NOW, seed=b"chip 1")
LIKE_AMD: Final = ForgedAmd("Milan", now=NOW, like_amd=True)

BOUND: Final = Bound(BindingDigest(whole=DATA, short=bytes(32)))
_ZERO48: Final = "0" * 96


def everything(amd: ForgedAmd, version: int | None = None) -> dict[str, Any]:
    """Return values of every identity rule that a report of this chip satisfies."""
    fields = amd.fields(version)
    parts = {name: amd.tcb[place] for name, place in layout.tcb_places(amd.product).items()}
    values: dict[str, Any] = {
        **{f"sev-snp.tcb.minimum.{which}": {amd.product: parts} for which in ("reported", "launch", "committed")},
        "sev-snp.signing-key.kind": {"kind": "VCEK"} if amd.csp_id is None else {"kind": "VLEK", "csp_id": amd.csp_id},
        "sev-snp.firmware-version": "1.55.40",
        "sev-snp.platform-info": {"smt_enabled": True, "tsme_enabled": False, "alias_check_complete": True},
        "sev-snp.measurement": bytes(fields["measurement"]).hex(),  # type: ignore[arg-type]
        "sev-snp.vmpl": 0,
        "sev-snp.guest-policy": {"smt_allowed": True, "single_socket": False},
        "sev-snp.guest-policy.abi": "0.31",
        "sev-snp.guest-svn": 2,
        "sev-snp.family-id": "0" * 32,
        "sev-snp.image-id": "0" * 32,
        "sev-snp.id-key-digest": _ZERO48,
        "sev-snp.author-key-digest": _ZERO48,
        "sev-snp.host-data": "0" * 64,
    }
    if amd.csp_id is None:
        chip = (amd.hwid + bytes(64 - len(amd.hwid))).hex()
        values |= {"sev-snp.chip.allow": [chip], "sev-snp.chip.deny": ["11" * 64]}
    if fields["version"] == 5:
        values |= {"sev-snp.mitigations.launch": "0x3f", "sev-snp.mitigations.current": "0x21"}
    return values


@forging
def vector(
    *,
    amd: ForgedAmd = MILAN,
    version: int | None = None,
    fields: Mapping[str, bytes | int] | None = None,
    report: bytes | None = None,
) -> Vector:
    """Make a wholesome report of ``amd``, with other fields where told."""
    data = report if report is not None else amd.report(**{"report_data": DATA, "version": version, **(fields or {})})  # type: ignore[arg-type]
    return Vector(
        scheme="sev-snp",
        parts={"report": data},
        endorsements=amd.endorsements(),
        collateral={"crl": amd.crl()},
        anchors=(amd.anchor(),),
        now=NOW,
        expected=BOUND,
    )


def along(amd: ForgedAmd, **changes: bytes) -> dict[str, bytes]:
    """Return the chip's endorsements, some changed or added."""
    return {**amd.endorsements(), **changes}


def patched(data: bytes, at: int, change: bytes) -> bytes:
    """Return data with some bytes written over."""
    return data[:at] + change + data[at + len(change) :]


def forged_ask(amd: ForgedAmd, *extras: Extra, role: str = "ark") -> bytes:
    """Return an ASK with other extensions, or signed by another authority."""
    return forge_certificate(
        serial=0x10001,
        issuer=amd.ark_name,
        subject=amd.ask_name,
        validity=(NOW - YEAR, NOW + YEAR),
        public_key=spki(authority_key(amd.product, "ask").public_key()),
        signer=amd.signer(role),  # type: ignore[arg-type]
        extensions=extras,
    )


def forged_vek(amd: ForgedAmd, *, without: Sequence[str] = (), extra: Sequence[Extra] = ()) -> bytes:
    """Return the chip's certificate with extensions left out or put in."""
    kept = tuple(e for e in amd.vek_extensions() if e.oid.removeprefix(layout.OID_PREFIX) not in without)
    return amd.vek(extensions=(*kept, *extra))


def spl(suffix: str, value: int) -> Extra:
    """Return a security version number as AMD's extension."""
    return Extra(layout.OID_PREFIX + suffix, der_integer(value))
