"""What a unified kernel image leaves in a TPM's PCRs and in a trust domain's RTMR2, as values of an identity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from verifier.formats.errors import ConfigError, MalformedEvidence
from verifier.tee.tcg.layout import SHA256, SHA384, HashAlgorithm, extend
from verifier.tee.tcg.pe import authenticode, decode_image
from verifier.tee.tcg.uki import (
    PCR_APPLICATION,
    PCR_COMMAND_LINE,
    PCR_UKI,
    PHASES,
    UkiPrediction,
    predict_pcr12,
    predict_register,
    predict_uki,
)

# What firmware puts into PCR 4 before the first application (PFP section 3.3.4.5): an action, then the separator.
_BOOT_ACTION: Final = b"Calling EFI Application from Boot Option"
_SEPARATOR: Final = bytes(4)


def tpm2_pcrs(
    image: bytes,
    *,
    phase: str | None,
    stub_version: int | None,
    loaders: Sequence[bytes] | None,
    kernel_measured: bool,
    command_lines: tuple[str, ...],
) -> tuple[dict[str, str], str]:
    """Return PCR 11, PCR 12, and PCR 4 where ``loaders`` is given (the images started before this one), and how it was done."""
    path = PHASES[-1] if phase is None else phase
    prediction = _predicted(image, SHA256, path, stub_version)
    pcrs = {str(PCR_UKI): prediction.pcr11[path].hex()}
    how = [f"PCR 11 at phase {path or '(none)'}, systemd-stub {_stub(prediction, stub_version)}"]
    pcrs[str(PCR_COMMAND_LINE)] = predict_pcr12(command_lines, bank=SHA256).hex()
    how.append(f"PCR 12 of {len(command_lines)} command lines from outside the image, no add-ons and credentials")
    if loaders is not None:
        chain = [authenticode(decode_image(one), SHA256) for one in loaders]
        chain.append(prediction.authenticode)
        if kernel_measured:
            if prediction.kernel is None:
                raise ConfigError("--kernel-measured", ".linux", "no PE image", "a kernel that LoadImage takes")
            chain.append(prediction.kernel)
        digests = [SHA256.digest(_BOOT_ACTION), SHA256.digest(_SEPARATOR), *chain]
        pcrs[str(PCR_APPLICATION)] = predict_register(digests, bank=SHA256).hex()
        how.append(f"PCR 4 of the boot action, the separator and {len(chain)} images")
    return dict(sorted(pcrs.items(), key=lambda item: int(item[0]))), "; ".join(how)


def rtmr2_of(image: bytes, *, then: tuple[str, ...], stub_version: int | None) -> tuple[dict[str, Any], str]:
    """Return RTMR2: what systemd-stub measures of its sections (PCR 11's events), then the digests that are named."""
    prediction = _predicted(image, SHA384, "", stub_version)
    value = prediction.pcr11[""]
    for text in then:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            digest = b""
        if len(digest) != SHA384.size:
            raise ConfigError("--then", "digest", text, f"{2 * SHA384.size} hex digits")
        value = extend(SHA384, value, digest)
    how = f"RTMR2 of {len(prediction.measured)} sections and {len(then)} digests behind them"
    return {"rtmrs": {"2": value.hex()}}, f"{how}, systemd-stub {_stub(prediction, stub_version)}"


def _predicted(image: bytes, bank: HashAlgorithm, path: str, stub_version: int | None) -> UkiPrediction:
    try:
        return predict_uki(image, bank=bank, phases=(path,), stub_version=stub_version)
    except MalformedEvidence:
        raise
    except ValueError as error:
        raise ConfigError("--phase", "path", path, str(error)) from None


def _stub(prediction: UkiPrediction, stated: int | None) -> str:
    return str(stated or prediction.stub_version or "unknown, taken as the newest")
