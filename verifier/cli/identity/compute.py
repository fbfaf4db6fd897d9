"""``verifier identity compute``: reference values from what you build, not from what runs (docs/reference-values.md)."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping
from typing import Any, Final

import click

from verifier.cli.evidence import moment
from verifier.cli.identity.unified import rtmr2_of, tpm2_pcrs
from verifier.cli.identity.written import (
    Artifact,
    Place,
    Written,
    answer,
    artifact,
    origin,
    said_at,
    written_options,
)
from verifier.core.console import Answer, answers
from verifier.core.ids import ArtifactId
from verifier.formats.errors import ConfigError, EvidenceRejected, mismatch
from verifier.reference import snp_launch
from verifier.reference.eif import decode_eif, pcrs_of
from verifier.reference.id_block import decode_id_block, guest_policy_values, key_digests
from verifier.reference.tdvf import PageOrder, mrtd_of

Given = Mapping[str, Any]
_FILES: Final = ("ovmf", "kernel", "initrd", "id_block", "id_auth", "eif", "signing_cert", "uki", "config_file")
# By scheme: the options that say what is launched. One of the first group has to be given.
_OPTIONS: Final[Mapping[str, tuple[frozenset[str], frozenset[str]]]] = {
    "sev-snp": (
        frozenset({"ovmf", "config_file"}),
        frozenset(
            {"kernel", "initrd", "append", "vcpus", "vcpu_type", "guest_features", "vmm", "snp_ovmf_hash", "id_block"}
            | {"id_auth", "no_id_block", "guest_policy", "vmpl"}
        ),
    ),
    "aws-nitro": (frozenset({"eif", "config_file"}), frozenset({"signing_cert"})),
    "tdx": (
        frozenset({"ovmf", "uki", "config_file"}),
        frozenset({"page_order", "then", "stub_version", "config_place"}),
    ),
    "tpm2": (
        frozenset({"uki", "config_file"}),
        frozenset({"phase", "stub_version", "pcr4", "loader", "kernel_measured", "command_line"}),
    ),
}


def _snp(given: Given, files: Mapping[str, Artifact], said: str) -> list[Written]:
    written = []
    if "ovmf" in files:
        values, text = _snp_launch(given, files, said)
        written.append(Written("firmware", values, dict.fromkeys(values, text) | _decisions(given, values)))
    return written + _configuration("host_data", hashlib.sha256, files, said, lambda digest: digest)


def _snp_launch(given: Given, files: Mapping[str, Artifact], said: str) -> tuple[dict[str, Any], str]:
    if not given["vcpus"] or not given["vcpu_type"]:
        raise ConfigError("identity compute", "--vcpus, --vcpu-type", "nothing", "both: each vCPU's state is measured")
    features = _hexadecimal("--guest-features", given["guest_features"] or "0x1")
    launch = snp_launch.Launch(
        ovmf=files["ovmf"].data,
        kernel=files["kernel"].data if "kernel" in files else None,
        initrd=files["initrd"].data if "initrd" in files else None,
        command_line=given["append"] or "",
        vcpus=given["vcpus"],
        vcpu_signature=snp_launch.vcpu_signature(given["vcpu_type"]),
        guest_features=features,
        vmm=given["vmm"] or "qemu",
        ovmf_digest=given["snp_ovmf_hash"] or "",
    )
    values: dict[str, Any] = {"measurement": snp_launch.launch_digest(launch)}
    if given["guest_policy"]:
        values |= guest_policy_values(_hexadecimal("--guest-policy", given["guest_policy"]))
    values |= _id_block(given, files, values)
    if given["vmpl"] is not None:
        values["vmpl"] = given["vmpl"]
    options = [f"--vcpus {launch.vcpus}", f"--vcpu-type {given['vcpu_type']}", f"--guest-features {features:#x}"]
    options += [f"--vmm {launch.vmm}"] + [f"--append {shlex.quote(launch.command_line)}"] * bool(launch.command_line)
    options += [f"--snp-ovmf-hash {launch.ovmf_digest}"] * bool(launch.ovmf_digest)
    options += ["--no-id-block"] * given["no_id_block"]
    text = f"computed by {said} with {snp_launch.library()} from {_listed(files)}; {' '.join(options)}"
    return values, origin(text)


def _id_block(given: Given, files: Mapping[str, Artifact], values: Mapping[str, Any]) -> dict[str, Any]:
    """What the report will say of the ID block that the guest is launched with, or of none."""
    if given["no_id_block"]:
        if "id_block" in files or "id_auth" in files:
            raise ConfigError("identity compute", "--no-id-block", "an ID block too", "one of the two")
        zero = {"family_id": "0" * 32, "image_id": "0" * 32, "id_key_digest": "0" * 96, "author_key_digest": "0" * 96}
        return {**zero, "minimum_guest_svn": 0}
    found: dict[str, Any] = {}
    if "id_block" in files:
        block = decode_id_block(files["id_block"].data)
        if block.launch_digest.hex() != values["measurement"]:
            got, want = block.launch_digest.hex(), f"{values['measurement']}, as computed"
            raise EvidenceRejected(ArtifactId.ID_BLOCK, mismatch("ID block's launch digest", got, want))
        policy = guest_policy_values(block.policy)
        if any(values.get(name, policy[name]) != policy[name] for name in policy):
            raise ConfigError("--guest-policy", "policy", given["guest_policy"], f"the ID block's, {block.policy:#x}")
        found |= {"family_id": block.family_id.hex(), "image_id": block.image_id.hex(), **policy}
        found["minimum_guest_svn"] = block.guest_svn
    if "id_auth" in files:
        found |= key_digests(files["id_auth"].data)
    return found


def _decisions(given: Given, values: Mapping[str, Any]) -> dict[str, str]:
    """What no artifact says: the operator's own words."""
    said = {}
    if given["vmpl"] is not None:
        said["vmpl"] = f"decision of the trust owner: --vmpl {given['vmpl']}"
    if given["guest_policy"] and not given["id_block"]:
        text = f"decision of the trust owner: --guest-policy {given['guest_policy']}"
        said |= {name: text for name in ("guest_policy", "minimum_abi") if name in values}
    return said


def _nitro(given: Given, files: Mapping[str, Artifact], said: str) -> list[Written]:
    del given
    written = []
    if "eif" in files:
        certificate = files["signing_cert"].data if "signing_cert" in files else None
        pcrs = pcrs_of(decode_eif(files["eif"].data), certificate)
        text = origin(f"computed by {said} from {_listed(files)}")
        written.append(Written("workload", {"pcrs": pcrs}, {"pcrs": text}))
    return written + _configuration("extended", hashlib.sha384, files, said, lambda digest: {"digest": digest})


def _tdx(given: Given, files: Mapping[str, Artifact], said: str) -> list[Written]:
    written = []
    if "ovmf" in files:
        order: PageOrder = given["page_order"] or "page"
        mrtd = mrtd_of(files["ovmf"].data, order)
        text = origin(f"MRTD computed by {said} from {files['ovmf']}; --page-order {order}")
        written.append(Written("firmware", {"mrtd": [mrtd.hex()]}, {"mrtd": text}))
    if "uki" in files:
        values, how = rtmr2_of(files["uki"].data, then=given["then"], stub_version=given["stub_version"])
        text = origin(f"predicted by {said} from {files['uki']}; {how}")
        written.append(Written("workload", values, dict.fromkeys(values, text)))
    place = given["config_place"] or "mrconfigid"
    return written + _configuration(
        "measured", hashlib.sha384, files, said, lambda digest: {"place": place, "digest": digest}
    )


def _tpm2(given: Given, files: Mapping[str, Artifact], said: str) -> list[Written]:
    written = []
    if "uki" in files:
        loaders = [artifact("boot loader", path) for path in given["loader"]]
        pcrs, how = tpm2_pcrs(
            files["uki"].data,
            phase=given["phase"],
            stub_version=given["stub_version"],
            loaders=[one.data for one in loaders] if given["pcr4"] else None,
            kernel_measured=given["kernel_measured"],
            command_lines=given["command_line"],
        )
        text = origin(f"predicted by {said} from {', '.join(map(str, (files['uki'], *loaders)))}; {how}")
        written.append(Written("workload", {"pcrs": pcrs}, {"pcrs": text}))
    return written + _configuration("extended", hashlib.sha256, files, said, lambda digest: {"digest": digest})


def _configuration(
    field: str,
    algorithm: Callable[[bytes], Any],
    files: Mapping[str, Artifact],
    said: str,
    value_of: Callable[[str], Any],
) -> list[Written]:
    """The attester's configuration: the digest of its exact bytes, at the place that the scheme's class ``config`` names."""
    if "config_file" not in files:
        return []
    digest = algorithm(files["config_file"].data).hexdigest()
    text = origin(f"digest of {files['config_file']}, by {said}")
    return [Written("config", {field: value_of(digest)}, {field: text})]


_COMPUTE: Final[Mapping[str, Callable[[Given, Mapping[str, Artifact], str], list[Written]]]] = {
    "sev-snp": _snp,
    "aws-nitro": _nitro,
    "tdx": _tdx,
    "tpm2": _tpm2,
}


def _listed(files: Mapping[str, Artifact]) -> str:
    return ", ".join(str(one) for key, one in files.items() if key != "config_file")


def _hexadecimal(option: str, text: str) -> int:
    try:
        value = int(text, 16)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 64:
        raise ConfigError(option, "hex", text, "0x and at most 16 hex digits")
    return value


def _require_options(scheme: str, given: Given) -> None:
    required, others = _OPTIONS[scheme]
    named = {name for name, value in given.items() if value not in (None, (), False)}
    for name in sorted(named - required - others):
        known = ", ".join(f"--{one.replace('_', '-')}" for one in sorted(required | others))
        raise ConfigError("identity compute", f"--{name.replace('_', '-')}", "an option of another scheme", known)
    if not named & required:
        want = " or ".join(f"--{one.replace('_', '-')}" for one in sorted(required))
        raise ConfigError("identity compute", "artifact", "none", want)


@click.command("compute")
@click.option("--scheme", required=True, type=click.Choice(sorted(_OPTIONS)), help="The scheme of the identity.")
@click.option("--ovmf", type=click.Path(), metavar="FILE", help="Firmware image (sev-snp, tdx).")
@click.option("--kernel", type=click.Path(), metavar="FILE", help="Kernel of a direct boot (sev-snp).")
@click.option("--initrd", type=click.Path(), metavar="FILE", help="Initial RAM disk of a direct boot (sev-snp).")
@click.option("--append", "--cmdline", "append", metavar="TEXT", help="Command line of a direct boot (sev-snp).")
@click.option("--vcpus", type=click.IntRange(1, snp_launch.MAX_VCPUS), help="Number of vCPUs (sev-snp).")
@click.option("--vcpu-type", metavar="MODEL", help="QEMU's CPU model, or 0x and CPUID 1 EAX (sev-snp).")
@click.option("--guest-features", metavar="HEX", help="SEV_FEATURES of the vCPUs; 0x1 if not given (sev-snp).")
@click.option(
    "--vmm", type=click.Choice(snp_launch.VMMS), help="Program that launches the guest; qemu if not given (sev-snp)."
)
@click.option("--snp-ovmf-hash", metavar="HEX", help="Digest of the firmware's pages, in place of its bytes (sev-snp).")
@click.option("--id-block", type=click.Path(), metavar="FILE", help="ID block, raw or base64 (sev-snp).")
@click.option("--id-auth", type=click.Path(), metavar="FILE", help="ID authentication information (sev-snp).")
@click.option(
    "--no-id-block", is_flag=True, help="The guest is launched without an ID block: its fields are zero (sev-snp)."
)
@click.option("--guest-policy", metavar="HEX", help="Guest policy of the launch (sev-snp).")
@click.option("--vmpl", type=click.IntRange(0, 3), help="Privilege level of the attester (sev-snp).")
@click.option("--eif", type=click.Path(), metavar="FILE", help="Enclave image file (aws-nitro).")
@click.option("--signing-cert", type=click.Path(), metavar="FILE", help="Certificate of PCR 8 (aws-nitro).")
@click.option(
    "--page-order",
    type=click.Choice(["page", "section"]),
    help="Order in which the host adds and measures pages (tdx).",
)
@click.option("--uki", type=click.Path(), metavar="FILE", help="Unified kernel image (tpm2, tdx).")
@click.option(
    "--stub-version",
    type=click.IntRange(1, 10_000),
    help="Version of systemd-stub, if the image does not state it (tpm2, tdx).",
)
@click.option(
    "--then",
    multiple=True,
    metavar="HEX",
    help="Digest that is extended after those of the image. Repeat the option for each (tdx).",
)
@click.option("--phase", metavar="PATH", help="Boot phases that extend PCR 11, joined by colons (tpm2).")
@click.option("--pcr4", is_flag=True, help="Predict PCR 4 too: events of the firmware, boot loaders, image (tpm2).")
@click.option(
    "--loader",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Boot loader that is started before the image. Repeat the option for each (tpm2).",
)
@click.option(
    "--kernel-measured",
    is_flag=True,
    help="The stub starts its kernel through LoadImage, so that PCR 4 has the kernel too (tpm2).",
)
@click.option(
    "--command-line",
    multiple=True,
    metavar="TEXT",
    help="Command line from outside the image, for PCR 12. Repeat the option for each (tpm2).",
)
@click.option(
    "--config-file", type=click.Path(), metavar="FILE", help="Configuration of the attester, for the class config."
)
@click.option(
    "--config-place", type=click.Choice(["mrconfigid", "rtmr3"]), help="Place of the configuration's digest (tdx)."
)
@click.option("--at", metavar="TIME", help="Time in the origin (RFC 3339). Without it: now.")
@written_options
@answers
def command(scheme: str, at: str | None, place: Place, **given: Any) -> Answer:
    """Compute an identity from artifacts.

    Each value has its origin: the artifacts with their SHA-256, and the options.

    Exit codes: 0 written, 1 artifacts contradict each other, 2 an artifact cannot be read, 64 usage.
    """
    _require_options(scheme, given)
    files = {key: artifact(key.replace("_", " "), given[key]) for key in _FILES if given[key] is not None}
    return answer(scheme, _COMPUTE[scheme](given, files, said_at(moment(at))), place)
