"""Replay: after how many entries does PCR 10 hold the quoted value? Linear in the list. Pure.

The list grows while it is read, and the quote is taken first: so *some* prefix has to give the quoted value, and what follows is
no evidence of anything yet. No entry at all is no prefix: a PCR that is still zero bears nothing out.

Banks other than that of the template hash are extended with the hash of the template data by the bank's own algorithm. Kernels before
5.8 extended them with the SHA-1 template hash and zeros instead. Such a bank is as strong as SHA-1; it is recognised, named and
refused. Source: Linux, Documentation/security/IMA-templates.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from verifier.tee.ima.layout import BOOT_AGGREGATE, TEMPLATE_HASHES, Entry, extended_digest, template_data
from verifier.tee.tcg.layout import SHA1, HashAlgorithm

_WITHOUT_KERNEL, _WITH_KERNEL = tuple(range(8)), tuple(range(10))


def first_inconsistent(entries: Sequence[Entry]) -> int | None:
    """Return the number of the first entry whose template hash is not that of its data; a violation has none to compare."""
    for number, entry in enumerate(entries):
        algorithm = TEMPLATE_HASHES[len(entry.template_hash)]
        if not entry.is_violation and algorithm.digest(template_data(entry)) != entry.template_hash:
            return number
    return None


def replay_prefix(entries: Iterable[Entry], algorithm: HashAlgorithm, want: bytes) -> int | None:
    """Return after how many entries, at least one, a register from zero holds ``want``; ``None`` where it never does."""
    value = bytes(algorithm.size)
    for number, entry in enumerate(entries, 1):
        value = algorithm.digest(value + extended_digest(entry, algorithm))
        if value == want:
            return number
    return None


def replay_all(entries: Iterable[Entry], algorithm: HashAlgorithm) -> bytes:
    """Return the register after the whole list."""
    value = bytes(algorithm.size)
    for entry in entries:
        value = algorithm.digest(value + extended_digest(entry, algorithm))
    return value


def is_padded_sha1(entries: Iterable[Entry], algorithm: HashAlgorithm, want: bytes) -> bool:
    """Tell whether a kernel before 5.8 extended the bank with SHA-1 template hashes and zeros. For the message only."""
    value = bytes(algorithm.size)
    for entry in entries:
        if len(entry.template_hash) != SHA1.size or algorithm.size <= SHA1.size:
            return False
        logged = b"\xff" * algorithm.size if entry.is_violation else entry.template_hash.ljust(algorithm.size, b"\x00")
        value = algorithm.digest(value + logged)
        if value == want:
            return True
    return False


def boot_aggregates(algorithm: HashAlgorithm, pcrs: Mapping[int, bytes]) -> frozenset[bytes]:
    """Return what ``boot_aggregate`` may be over these PCRs of the algorithm's bank: PCR 0 to 7, and since 5.8 PCR 0 to 9.

    Empty where they are not all there.
    """
    found = [group for group in (_WITHOUT_KERNEL, _WITH_KERNEL) if pcrs.keys() >= set(group)]
    return frozenset(algorithm.digest(b"".join(pcrs[i] for i in group)) for group in found)


def is_boot_aggregate(entry: Entry) -> bool:
    """Tell whether the entry says what firmware and boot loader left in the PCRs when IMA started (again after kexec)."""
    return entry.path == BOOT_AGGREGATE
