"""Vectors of ``tpm2`` on the IMA list: whether it is this machine's, and whether the files are wanted."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from forge.ima import MeasurementList, PrivateKey, key_id_of, sign_file, small_system, spki
from forge.tpm2 import SimulatedTpm, make_tpm, new_key, pcr_digest
from tests.support.vectors import Vector
from tests.vectors.tpm2.forging import (
    FILES,
    NONCE,
    PATHS,
    PCRS,
    changed,
    file_rules,
    judged,
    listed,
    tpm,
    vector,
    with_files,
)
from verifier.formats.encoding import canonical, sha256
from verifier.tee.ima.layout import SIG_EVM_PORTABLE, Entry
from verifier.tee.tcg.layout import SHA1, SHA256, SHA384
from verifier.tee.tpm2.layout import Selection

_DECODE = "tpm2.decode.ascii_runtime_measurements"
_TEMPLATE, _REPLAY, _AGGREGATE = "tpm2.ima.template", "tpm2.ima.replay", "tpm2.ima.boot-aggregate"
_RULE = "tpm2.workload.ima"
_NAME = "ascii_runtime_measurements"
SIGNER, OTHER_SIGNER = new_key("ecc", "ima"), new_key("ecc", "ima other")
_PROGRAM = sha256(b"a program")


def _booted() -> SimulatedTpm:
    return make_tpm("ecc")


def _values() -> dict[int, bytes]:
    return dict(_booted().values["sha256"])


def files(*, template: str = "ima-ng") -> MeasurementList:
    """Return the list of the base machine."""
    return small_system(_values(), template=template)


def machine(found: MeasurementList, printed: bytes | None = None) -> SimulatedTpm:
    """Return the base machine with other files; ``printed`` is what its list says instead of what was extended."""
    return with_files(_booted(), found, **({} if printed is None else {"printed": printed}))


def signed(key: PrivateKey = SIGNER, path: bytes = b"/opt/program", **fields: Any) -> SimulatedTpm:
    """Return a machine with one more file, signed in its extended attribute."""
    found = files(template="ima-sig")
    signature = sign_file(key, fields.pop("digest", _PROGRAM), **fields)
    return machine(found.measure(path, _PROGRAM, fields=(signature,)))


def verity() -> SimulatedTpm:
    """Return a machine with a file that fs-verity guards, its signature over type, algorithm and digest (version 3)."""
    found = files(template="ima-sigv2")
    fields = (sign_file(SIGNER, _PROGRAM, version=3),)
    return machine(found.measure(b"/opt/verity", _PROGRAM, kind="verity", fields=fields))


def signers(*keys: PrivateKey) -> dict[str, Any]:
    """Return an allow-list of the base files and whatever these keys signed."""
    return file_rules(files=listed(*PATHS), keys=[{"spki": spki(key).hex()} for key in keys])


def padded() -> SimulatedTpm:
    """Return a machine whose kernel is older than 5.8: SHA-1 template hashes and zeros in the SHA-256 bank."""
    found, value = files(), bytes(32)
    for entry in found.entries:
        value = SHA256.digest(value + entry.template_hash.ljust(32, b"\x00"))
    made = machine(found)
    return replace(made, values={"sha256": {**made.values["sha256"], 10: value}})


def _template_hash_changed() -> bytes:
    lines = list(files().lines)
    entry = files().entries[2]
    lines[2] = lines[2].replace(entry.template_hash.hex().encode(), b"ab" * 20)
    return b"".join(lines)


def _swapped() -> bytes:
    lines = list(files().lines)
    lines[2], lines[3] = lines[3], lines[2]
    return b"".join(lines)


def _aggregate(digest: bytes, algorithm: str = "sha256") -> MeasurementList:
    return MeasurementList().measure(b"boot_aggregate", digest, algorithm).file(b"/a", b"/a")


def _headless() -> MeasurementList:
    found = MeasurementList()
    for entry in files().entries[1:]:
        found.append(entry)
    return found


def _other_bank() -> dict[str, bytes]:
    """Return a quote of the SHA-384 bank, which bears the list out and no reference value."""
    base = tpm()
    found = MeasurementList(banks=(SHA384,))
    pcrs = {i: sha384_value(i) for i in PCRS}
    found.measure(b"boot_aggregate", SHA384.digest(b"".join(pcrs[i] for i in range(10))), "sha384").file(b"/a", b"/a")
    bank = {**pcrs, 10: found.register(SHA384)}
    selections = (Selection.of(SHA384.id, PCRS),)
    digest = pcr_digest({"sha384": bank}, selections, SHA256.id)
    quote, signature = base.quote(NONCE, PCRS, selections=selections, pcr_digest=digest)
    listed_values = {"sha384": {str(i): value.hex() for i, value in bank.items()}}
    parts = {"quote": quote, "quote_sig": signature, "pcrs": canonical(listed_values), "ak_name": base.ak_name}
    return {**parts, _NAME: found.to_bytes()}


def sha384_value(index: int) -> bytes:
    """Return a made-up PCR value."""
    return SHA384.digest(bytes((index,)))


def _without_ten() -> dict[str, bytes]:
    pcrs = tuple(p for p in PCRS if p != 10)
    return {**tpm().parts(NONCE, pcrs), _NAME: tpm().ima_list}


def _entry_of_another_machine() -> MeasurementList:
    return small_system({i: bytes([i + 1]) * 32 for i in range(10)})


def _violation(*paths: bytes) -> SimulatedTpm:
    found = files()
    for path in paths:
        found.violation(path)
    return machine(found)


def _raw_entry(**fields: Any) -> Entry:
    return replace(files().entries[1], **fields)


@cache
def _rsa_signer() -> PrivateKey:
    return new_key("rsa", "ima rsa")


_LATER = b"".join(MeasurementList().file(b"/opt/unwanted", b"unwanted").lines)


def _accepted() -> tuple[Vector, ...]:
    """Return lists that are wanted."""
    return (
        vector("files-used-after-the-quote", "accepted", parts=changed(**{_NAME: tpm().ima_list + _LATER}),
               values={_RULE: FILES}),
        vector("no-ima-list", "accepted", parts={k: v for k, v in changed().items() if k != _NAME}),
        vector("kernel-before-5-8-hashes-pcrs-0-to-7", "accepted",
               machine=machine(MeasurementList().boot_aggregate(_values(), 8).file(b"/a", b"/a")),
               values={_RULE: file_rules(files=listed("/a"))}),
        vector("boot-aggregate-of-a-bank-that-is-not-quoted", "accepted",
               machine=machine(_aggregate(bytes(range(20)), "sha1")), values={}),
        vector("quoted-in-another-bank", "accepted", parts=_other_bank()),
        vector("file-signed-by-a-listed-key", "accepted", machine=signed(), values={_RULE: signers(SIGNER)}),
        vector("file-signed-by-a-listed-rsa-key", "accepted", machine=signed(_rsa_signer()),
               values={_RULE: signers(OTHER_SIGNER, _rsa_signer())}),
        vector("file-signed-by-a-key-with-a-stated-id", "accepted", machine=signed(key_id=b"\1\2\3\4"),
               values={_RULE: file_rules(files=listed(*PATHS),
                                              keys=[{"spki": spki(SIGNER).hex(), "key_id": "01020304"}])}),
        vector("fs-verity-signed", "accepted", machine=verity(), values={_RULE: signers(SIGNER)}),
        vector("file-listed-by-digest-alone", "accepted",
               machine=machine(files().measure(b"/anywhere\xff", _PROGRAM)),
               values={_RULE: file_rules(files=listed(*PATHS), digests=[f"sha256:{_PROGRAM.hex()}"])}),
        vector("log-files-may-be-anything", "accepted", machine=machine(files().file(b"/var/log/x/y", b"?").file(b"/etc/mtab", b"?")),
               values={_RULE: file_rules(files=listed(*PATHS), may_be_anything=[
                   {"path": "/var/log/", "why": "logs"}, {"path": "/etc/mtab", "why": "changes"}])}),
        vector("violations-that-are-tolerated", "accepted", machine=_violation(b"/var/log/a", b"/var/log/b"),
               values={_RULE: file_rules(files=listed(*PATHS), max_violations=2)}),
    )  # fmt: skip


def _malformed() -> tuple[Vector, ...]:
    """Return lists that cannot be read."""
    line = files().lines[1]
    return tuple(
        vector(name, "malformed", _DECODE, parts=changed(**{_NAME: data}))
        for name, data in (
            ("ima-list-empty", b""),
            ("ima-list-cut-in-a-line", tpm().ima_list[:-1]),
            ("ima-list-of-another-pcr", tpm().ima_list.replace(line, b"11" + line[2:])),
            ("ima-list-of-a-template-nobody-knows", tpm().ima_list.replace(b" ima-ng ", b" my-own ")),
            ("ima-list-larger-than-a-mebibyte", line * (1024 * 1024 // len(line) + 1)),
        )
    )


def _checked() -> tuple[Vector, ...]:
    """Return lists that are not this machine's."""
    return (
        vector("ima-template-hash-changed", "rejected", _TEMPLATE, machine=machine(files(), _template_hash_changed())),
        vector("ima-path-changed", "rejected", _TEMPLATE,
               machine=machine(files(), files().to_bytes().replace(b"vault-attester", b"fault-attester"))),
        vector("ima-template-hash-changed-after-the-quote", "rejected", _TEMPLATE,
               parts=changed(**{_NAME: tpm().ima_list + _LATER.replace(b"/opt/unwanted", b"/opt/wanted")})),
        vector("ima-entries-swapped", "rejected", _REPLAY, machine=machine(files(), _swapped())),
        vector("ima-entry-removed", "rejected", _REPLAY,
               machine=machine(files(), b"".join((*files().lines[:2], *files().lines[3:])))),
        vector("ima-list-shorter-than-the-quote", "rejected", _REPLAY, machine=machine(files(), b"".join(files().lines[:-1]))),
        vector("ima-list-of-another-machine", "rejected", _REPLAY,
               machine=machine(files(), _entry_of_another_machine().to_bytes())),
        vector("ima-list-without-any-extend", "rejected", _REPLAY,
               machine=replace(tpm(), values={"sha256": {**tpm().values["sha256"], 10: bytes(32)}})),
        vector("ima-list-without-pcr-10", "rejected", _REPLAY, parts=_without_ten()),
        vector("ima-of-a-kernel-before-5-8", "rejected", _REPLAY, machine=padded()),
        vector("ima-violation-hidden", "rejected", _REPLAY,
               machine=machine(files().violation(b"/x").file(b"/y", b"/y"), files().file(b"/x", b"").file(b"/y", b"/y").to_bytes())),
        vector("ima-list-without-its-first-entry", "rejected", _AGGREGATE, machine=machine(_headless())),
        vector("boot-aggregate-of-another-boot", "rejected", _AGGREGATE, machine=machine(_entry_of_another_machine())),
        vector("boot-aggregate-of-no-tpm", "rejected", _AGGREGATE, machine=machine(_aggregate(bytes(20), "sha1"))),
    )  # fmt: skip


_LISTED = {_RULE: FILES}


def _judged() -> tuple[Vector, ...]:
    """Return lists with files that are not wanted."""
    return (
        judged("file-not-listed", _RULE, file_rules(files=listed(*PATHS[:-1]))),
        judged("file-with-other-content", _RULE, FILES, machine=machine(files().file(PATHS[2].encode(), b"changed"))),
        judged("file-listed-elsewhere", _RULE, FILES, machine=machine(files().file(b"/tmp/x", PATHS[2].encode()))),
        judged("file-signed-by-another-key", _RULE, signers(SIGNER), machine=signed(OTHER_SIGNER)),
        judged("file-signed-under-another-keys-id", _RULE, signers(SIGNER),
               machine=signed(OTHER_SIGNER, key_id=key_id_of(SIGNER))),
        judged("file-whose-signature-is-of-another", _RULE, signers(SIGNER), machine=signed(digest=sha256(b"another"))),
        judged("file-with-a-signature-over-metadata", _RULE, signers(SIGNER), machine=signed(kind=SIG_EVM_PORTABLE)),
        judged("file-with-a-signature-cut-short", _RULE, signers(SIGNER),
               machine=machine(files(template="ima-sig").measure(b"/s", _PROGRAM, fields=(sign_file(SIGNER, _PROGRAM)[:-1],)))),
        judged("boot-aggregate-not-comparable-and-not-listed", _RULE, file_rules(files=listed("/a")),
               machine=machine(_aggregate(bytes(range(20)), "sha1"))),
        judged("file-of-a-neighbouring-directory", _RULE,
               file_rules(files=listed(*PATHS), may_be_anything=[{"path": "/var/log/", "why": "logs"}]),
               machine=machine(files().file(b"/var/log2/x", b"?"))),
        judged("a-violation", _RULE, FILES, machine=_violation(b"/usr/bin/vault-attester")),
        judged("more-violations-than-tolerated", _RULE, file_rules(files=listed(*PATHS), max_violations=1),
               machine=_violation(b"/a", b"/b")),
        judged("ima-rules-and-no-list", _RULE, FILES, parts={k: v for k, v in changed().items() if k != _NAME}),
        judged("ima-rules-and-another-bank", _RULE, FILES, parts=_other_bank()),
        judged("file-digest-of-sha1", _RULE, FILES, machine=machine(files().measure(b"/sha1", SHA1.digest(b"x"), "sha1"))),
    )  # fmt: skip


def vectors() -> tuple[Vector, ...]:
    """Return the vectors."""
    return (*_accepted(), *_malformed(), *_checked(), *_judged())
