"""Derived cases of Nitro enclaves and NitroTPMs, NVIDIA devices, Arm CCA."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Iterator

from tests.support.derived_cases import Case, Derived, Recipe, base, invalid, pem_forms, published, upside_down, valid
from verifier.formats.pem import pem_blocks

NITRO, TPM, GPU, CCA = "aws-nitro", "aws-nitrotpm", "nvidia-gpu", "arm-cca"
BINDING = "binding.user-data"
DOCUMENT = "attestation.cbor"


def nonce_policies(case: Case, nonce: str) -> Iterator[Derived]:
    """A nonce that fits, in both cases of letters, and those that do not."""
    for what, text in (("the nonce", nonce), ("the nonce in upper case", nonce.upper())):
        changed = case.copy()
        changed.policy["nonce"] = text
        yield valid(changed, what)
    for what, text in (
        ("an empty nonce", ""),
        ("the nonce's beginning", nonce[:-2]),
        ("the nonce and a zero", nonce + "00"),
        ("another nonce", ("00" if nonce[:2] != "00" else "01") + nonce[2:]),
    ):
        changed = case.copy()
        changed.policy["nonce"] = text
        yield invalid(changed, what, BINDING, same_claims=True)


def nitro_forms() -> Iterator[Derived]:
    """Forms and policies of documents."""
    for case in published(NITRO):
        yield valid(case.copy().put(DOCUMENT, b"\xd2" + case.part(DOCUMENT)), "with tag 18")
        changed = case.copy()
        changed.drop("aws_nitro_root_g1.pem")
        changed.evidence["notes.txt"] = b"nothing"
        changed.document["policy"] = {"allow_debug": True}
        yield valid(changed, "without root, with a file besides")
        nonce = case.document["claims"].get("nonce")
        if nonce:
            yield from nonce_policies(case, nonce)
        else:
            for text in ("", "00", "9009"):
                changed = case.copy()
                changed.policy["nonce"] = text
                yield invalid(changed, f"nonce {text!r} where there is none", BINDING, same_claims=True)
    for case in published(NITRO, only_valid=False):
        if case.document["reason"].startswith("debug on"):
            changed = case.copy()
            changed.policy["allow_debug"] = True
            yield valid(changed, "debug allowed")
            changed = case.copy()
            changed.document["policy"] = {}
            yield invalid(changed, "debug, no policy", "aws-nitro.pcrs.debug", same_claims=True)


def nitro_faults() -> Iterator[Derived]:
    """Cuts, flips and times of documents of both kinds."""
    for platform in (NITRO, TPM):
        for case in published(platform):
            data = case.part(DOCUMENT)
            decode, signature = f"{platform}.decode.attestation", f"{platform}.document.signature"
            for size in (0, 1, 4, 20, len(data) // 3, len(data) - 96, len(data) - 1):
                yield invalid(case.copy().put(DOCUMENT, data[:size]), f"cut to {size} bytes", decode)
            for tail in (b"\0", b"\xf6", data):
                yield invalid(
                    case.copy().put(DOCUMENT, data + tail), f"{len(tail)} bytes more", decode, same_claims=True
                )
            yield invalid(case.copy().put(DOCUMENT, b"\xd3" + data), "with another tag", decode)
            places = [(len(data) - 1, "s"), (len(data) - 96, "r")]
            places += [(data.index(b"digest") - 3, "the module's name"), (data.index(b"cabundle") - 1, "the leaf")]
            for place, what in places:
                changed = case.copy()
                changed.flip(DOCUMENT, place)
                fits = (signature, decode, f"{platform}.chain.signature")
                yield invalid(changed, f"{what} flipped", *fits)
            yield from _document_times(case)
    case, other = base(NITRO, "nautilus-weather"), base(TPM, "nitrotpm-ak-bound-vaportpm")
    for mine, theirs in ((case, other), (other, case)):
        yield invalid(
            mine.copy().put(DOCUMENT, theirs.part(DOCUMENT)),
            "the other kind of document",
            f"{mine.platform}.decode.attestation",
        )
    forged = base(NITRO, "forged-own-root")
    forged.policy["allow_debug"] = True
    yield invalid(forged, "debug allowed", "aws-nitro.chain.root", same_claims=True)


def _document_times(case: Case) -> Iterator[Derived]:
    claims = case.document["claims"]
    first, last = (dt.datetime.fromisoformat(claims[f"chain_not_{end}"]) for end in ("before", "after"))
    second = dt.timedelta(seconds=1)
    for moment in (first, last):
        yield valid(case.copy().at(moment), f"at {moment}")
    for moment in (first - second, last + second, dt.datetime(2099, 1, 1, tzinfo=dt.UTC)):
        yield invalid(case.copy().at(moment), f"at {moment}", f"{case.platform}.chain.validity", same_claims=True)


def nitrotpm() -> Iterator[Derived]:
    """What stands beside a NitroTPM's document."""
    case = published(TPM)[0]
    extra = case.document["claims"]["tpm"]["extra_data"]
    nonce = case.document["claims"].get("nonce")
    if extra and nonce in (None, extra):
        yield from nonce_policies(case, extra)
    for name, check_id in (
        (DOCUMENT, "decode.attestation"),
        ("tpm_quote.msg", "decode.quote"),
        ("tpm_quote.sig.der", "decode.quote_sig"),
    ):
        yield invalid(case.copy().drop(name), f"without {name}", f"{TPM}.{check_id}")
        yield invalid(case.copy().put(name, case.part(name)[:-1]), f"{name} cut", f"{TPM}.{check_id}")
    yield valid(case.copy().drop("pcrs.json"), "without pcrs.json")
    yield valid(case.copy().rename("tpm_quote.sig.der", "tpm_quote.sig"), "signature as .sig")
    der = case.part("tpm_quote.sig.der")
    yield valid(
        case.copy().rename("tpm_quote.sig.der", "tpm_quote.sig.tpmt", tpmt_of(der)), "signature as TPMT_SIGNATURE"
    )
    banks = json.loads(case.part("pcrs.json"))
    for what, written in pcr_forms(banks):
        yield valid(case.copy().put("pcrs.json", written), f"pcrs.json: {what}")
    banks["sha384"]["4"] = "00" * 48
    yield invalid(
        case.copy().put("pcrs.json", json.dumps(banks).encode()),
        "another PCR 4",
        f"{TPM}.pcrs.document",
        f"{TPM}.pcrs.digest",
    )
    for offset, what in ((-1, "pcrDigest"), (60, "the quote")):
        yield invalid(case.copy().flip("tpm_quote.msg", offset), f"{what} flipped", f"{TPM}.quote.signature")
    yield invalid(case.copy().flip("tpm_quote.sig.der", -1), "signature flipped", f"{TPM}.quote.signature")
    other = base("gcp-vtpm", "gce-ecc-ak-amd")
    yield invalid(
        case.copy().put("tpm_quote.msg", other.part("quote.msg")).put("tpm_quote.sig.der", other.part("quote.sig.der")),
        "genuine quote of another machine",
        f"{TPM}.quote.signature",
    )


def tpmt_of(der: bytes, scheme: bytes = b"\0\x18\0\x0b") -> bytes:
    """Write an X9.62 ECDSA signature of P-256 as TPMT_SIGNATURE."""
    r_end = 4 + der[3]
    halves = (der[4:r_end], der[r_end + 2 :])
    return scheme + b"".join(b"\0\x20" + half.lstrip(b"\0").rjust(32, b"\0") for half in halves)


def pcr_forms(banks: dict[str, dict[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Yield the ways in which sources write the same PCR values."""
    upper = {bank: {i: v.upper() for i, v in values.items()} for bank, values in banks.items()}
    yield "upper-case hex", json.dumps(upper).encode()
    yield (
        "upper-case banks, 0x",
        json.dumps({bank.upper(): {i: f"0x{v}" for i, v in values.items()} for bank, values in banks.items()}).encode(),
    )
    backwards = {bank: dict(reversed(values.items())) for bank, values in reversed(banks.items())}
    yield "indented, other order", json.dumps(backwards, indent=2).encode() + b"\n"
    yield "byte order mark", b"\xef\xbb\xbf" + json.dumps(banks).encode()


def nvidia_forms() -> Iterator[Derived]:
    """Encodings of report and chain."""
    for case in published(GPU):
        report, chain = case.part("spdm_report.bin"), case.part("cert_chain.pem")
        for what, name, data in (
            ("hex", "spdm_report.txt", report.hex().encode()),
            (
                "hex in lines",
                "spdm_report.bin",
                b"\n".join(report.hex().encode()[i : i + 64] for i in range(0, 2 * len(report), 64)),
            ),
            ("upper-case hex under its old name", "spdm_report.bin", report.hex().upper().encode() + b"\n"),
            ("base64", "spdm_report.b64", base64.b64encode(report)),
            ("JSON", "spdm_report.json", json.dumps({"evidence": base64.b64encode(report).decode()}).encode()),
            ("JSON list", "spdm_report.json", json.dumps([{"evidence": base64.b64encode(report).decode()}]).encode()),
        ):
            yield valid(case.copy().rename("spdm_report.bin", name, data), f"report as {what}")
        for what, data in (*pem_forms(chain), ("root first", upside_down(chain)), ("base64", base64.b64encode(chain))):
            yield valid(case.copy().put("cert_chain.pem", data), f"chain: {what}")
        end = b"-----END CERTIFICATE-----"
        rootless = chain[: chain.rindex(b"-----BEGIN")]
        assert rootless.count(end) == chain.count(end) - 1
        yield valid(case.copy().put("cert_chain.pem", rootless), "chain without its root")
        changed = case.copy()
        changed.drop("nvidia_device_identity_ca.pem")
        changed.evidence["rim.xml"] = b"<a/>"
        yield valid(changed, "without root, with a file besides")
        yield from nonce_policies(case, case.document["claims"]["request_nonce"])


def nvidia_faults() -> Iterator[Derived]:
    """Flips, cuts, other devices' chains."""
    cases = published(GPU)
    for case, other in zip(cases, reversed(cases), strict=True):
        report = case.part("spdm_report.bin")
        signature = f"{GPU}.report.signature"
        for offset, what in ((4, "request nonce"), (60, "a measurement"), (-97, "opaque data"), (-1, "s"), (-96, "r")):
            yield invalid(case.copy().flip("spdm_report.bin", offset, 0x10), f"{what} flipped", signature)
        for size in (0, 1, 2, 36, 44, 45, 100, len(report) - 97, len(report) - 1):
            yield invalid(
                case.copy().put("spdm_report.bin", report[:size]), f"cut to {size} bytes", f"{GPU}.decode.spdm_report"
            )
        yield invalid(case.copy().put("spdm_report.bin", report + b"\0"), "a byte more", f"{GPU}.decode.spdm_report")
        yield invalid(
            case.copy().put("cert_chain.pem", other.part("cert_chain.pem")), f"chain of {other.name}", signature
        )
        for name, noun in (("spdm_report.bin", "spdm_report"), ("cert_chain.pem", "cert_chain")):
            yield invalid(case.copy().drop(name), f"without {name}", f"{GPU}.decode.{noun}")
        changed = case.copy()
        blocks = pem_blocks(case.part("cert_chain.pem"), "CERTIFICATE")
        for place in range(len(blocks) - 1):
            # The DER's last byte is one of the signature.
            broken = [b[:-1] + bytes((b[-1] ^ 1,)) if i == place else b for i, b in enumerate(blocks)]
            yield invalid(
                case.copy().put("cert_chain.pem", b"".join(_pem(b) for b in broken)),
                f"signature of certificate {place} flipped",
                f"{GPU}.chain.signature",
            )
        yield invalid(
            case.copy().put("cert_chain.pem", b"".join(_pem(b) for i, b in enumerate(blocks) if i != 1)),
            "an intermediate missing",
            f"{GPU}.chain.signature",
            f"{GPU}.chain.root",
        )
        yield invalid(case.copy().at(0), "in 1970", f"{GPU}.chain.validity", same_claims=True)
        changed = case.copy()
        changed.document["verify_at"] = "9000-01-01T00:00:00Z"
        yield valid(changed, "in the year 9000")


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"


def arm() -> Iterator[Derived]:
    """Tokens of emulated platforms."""
    case = published(CCA)[0]
    token, key = case.part("cca_token.cbor"), case.part("cpak_pub.pem")
    der = pem_blocks(key, "PUBLIC KEY")[0]
    for what, name, data in (
        ("DER", "cpak_pub.der", der),
        ("CRLF", "cpak_pub.pem", key.replace(b"\n", b"\r\n")),
        ("NUL", "cpak_pub.pem", key.rstrip() + b"\0"),
        ("text before", "cpak_pub.pem", b"# the platform's key\n" + key),
    ):
        yield valid(case.copy().rename("cpak_pub.pem", name, data), f"CPAK as {what}")
    assert token[:3] == b"\xd9\x01\x8f"
    yield valid(case.copy().put("cca_token.cbor", token[3:]), "without tag 399")
    changed = case.copy()
    changed.evidence["note.txt"] = changed.evidence["cpak_pub.pem"] = changed.collateral.pop("cpak_pub.pem")
    yield valid(changed, "CPAK in the evidence")
    for size in (0, 1, 3, 10, len(token) // 2, len(token) - 1):
        yield invalid(
            case.copy().put("cca_token.cbor", token[:size]), f"cut to {size} bytes", f"{CCA}.decode.cca_token"
        )
    yield invalid(case.copy().put("cca_token.cbor", token + b"\0"), "a byte more", f"{CCA}.decode.cca_token")
    yield invalid(case.copy().drop("cca_token.cbor"), "no token", f"{CCA}.decode.cca_token")
    yield invalid(case.copy().drop("cpak_pub.pem"), "no CPAK", f"{CCA}.endorsement.cpak", same_claims=True)
    yield from nonce_policies(case, case.document["claims"]["realm"]["10"])
    yield invalid(
        case.copy().flip("cca_token.cbor", -1), "realm signature flipped", f"{CCA}.realm.signature", same_claims=True
    )
    claims = case.document["claims"]
    for side, ids in (("platform", f"{CCA}.platform.signature"), ("realm", f"{CCA}.realm.signature")):
        yield invalid(
            case.copy().flip("cca_token.cbor", token.index(bytes.fromhex(claims[side]["10"]))),
            f"{side} challenge flipped",
            ids,
        )
    other = base("tpm2", "hardware-pcr1-pcr4-cmc").part("ak_pub.pem")
    yield invalid(
        case.copy().put("cpak_pub.pem", other), "another kind of CPAK", f"{CCA}.platform.signature", same_claims=True
    )


RECIPES: tuple[Recipe, ...] = (nitro_forms, nitro_faults, nitrotpm, nvidia_forms, nvidia_faults, arm)
