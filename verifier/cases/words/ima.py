"""What the evidence claims of platform ``ima`` mean."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "entries": "how many measurements in a row have a template hash that fits their data, from the first one on",
    "template": "which template the entries are written in",
    "pcr10_sha1": "PCR 10 of the SHA-1 bank, which the list has to replay to",
    "pcr10_sha256": "PCR 10 of the SHA-256 bank, which the list has to replay to",
    "pcr10_sha384": "PCR 10 of the SHA-384 bank, which the list has to replay to",
    "pcr10_sha512": "PCR 10 of the SHA-512 bank, which the list has to replay to",
}
