"""What the evidence claims of platform ``ima`` mean, and what to change when a check says no."""

from __future__ import annotations

WORDS: dict[str, str] = {
    "entries": "how many measurements in a row have a template hash that fits their data, from the first one on",
    "template": "which template the entries are written in",
    "pcr10_sha1": "PCR 10 of the SHA-1 bank, which the list has to replay to",
    "pcr10_sha256": "PCR 10 of the SHA-256 bank, which the list has to replay to",
    "pcr10_sha384": "PCR 10 of the SHA-384 bank, which the list has to replay to",
    "pcr10_sha512": "PCR 10 of the SHA-512 bank, which the list has to replay to",
}

REMEDIES: dict[str, str] = {
    "ima.decode.ascii_runtime_measurements": (
        "send /sys/kernel/security/ima/ascii_runtime_measurements as the kernel prints it, whole, in one of the known templates"
    ),
    "ima.decode.expected_pcr10": "give PCR 10 as {bank: hex} in lower case",
    "ima.template": "look for what changed the entry after the kernel wrote it: the list is not the kernel's",
    "ima.replay": "send the list of the same boot as the PCR's value, every entry in order; on a kernel before 5.8, update it",
}
