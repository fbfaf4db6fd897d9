"""``verifier identity``: what is computed or observed is a document that loads, names its origin, and means what it says."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import struct
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from forge.uki import SimulatedUki, make_uki
from tests.support.parts import missing
from tests.support.vectors import base_vector
from verifier.adapters.trust.anchors import FORGED_KEYS
from verifier.adapters.trust.documents import load_documents, load_single_policy
from verifier.appraise.bundle import compile_all
from verifier.appraise.documents import Identity
from verifier.cli.appraise import command as appraise_command
from verifier.cli.identity import command
from verifier.tee.registry import SCHEMES
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import SHA256, SHA384

EIF = Path(__file__).parents[1] / "reference" / "eif" / "signed.eif"
AT = ("--at", "2026-01-01T00:00:00Z")
PAGE = 4096


def _typed(*arguments: str) -> Result:
    return CliRunner().invoke(command, [*arguments])


def _json(*arguments: str) -> dict[str, Any]:
    done = _typed(*arguments, "--format", "json")
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


# --- SEV-SNP ----------------------------------------------------------------------------------------------------------


def _firmware(folder: Path, *, size: int = 4 * PAGE, hashes: bool = True) -> Path:
    """Write firmware with AMD's metadata: two pages of memory, secrets, CPUID, a page for the hashes of a direct boot."""
    sections = [(0x800000, 2 * PAGE, 1), (0x80D000, PAGE, 2), (0x80E000, PAGE, 3)]
    sections += [(0x80F000, PAGE, 0x10)] if hashes else []
    metadata = struct.pack("<4sIII", b"ASEV", 16 + 12 * len(sections), 1, len(sections))
    metadata += b"".join(struct.pack("<III", *one) for one in sections)
    image = bytearray(hashlib.shake_128(b"firmware").digest(size))
    image[size - 512 : size - 512 + len(metadata)] = metadata
    table = b""
    for data, guid in (
        (struct.pack("<I", 512), "dc886566-984a-4798-a75e-5585a7bf67cc"),
        (struct.pack("<I", 0xFFFFFFF0), "00f771de-1a7e-4fcb-890e-68c77e2fb44e"),
        (struct.pack("<II", 0x80FC00, 0x400), "7255371f-3a3b-4b04-927b-1da6efa8d454"),
    ):
        table += data + struct.pack("<H16s", len(data) + 18, uuid.UUID(guid).bytes_le)
    table += struct.pack("<H16s", len(table) + 18, uuid.UUID("96b582de-1fb2-45f7-baea-a366c55a082d").bytes_le)
    image[size - 32 - len(table) : size - 32] = table
    path = folder / "OVMF.fd"
    path.write_bytes(image)
    return path


def _digest(firmware: bytes, *, kernel: bytes, initrd: bytes, line: bytes, vmsas: list[bytes]) -> str:
    """Launch digest by the firmware ABI (56860, section 8.17.2): PAGE_INFO over every page, in order."""
    current = bytes(48)

    def page(kind: int, address: int, contents: bytes) -> None:
        nonlocal current
        info = struct.pack("<48s48sHBBBBBBQ", current, contents, 0x70, kind, 0, 0, 0, 0, 0, address)
        current = hashlib.sha384(info).digest()

    def sha384(data: bytes) -> bytes:
        return hashlib.sha384(data).digest()

    for at in range(0, len(firmware), PAGE):
        page(1, (1 << 32) - len(firmware) + at, sha384(firmware[at : at + PAGE]))
    page(3, 0x800000, bytes(48))
    page(3, 0x801000, bytes(48))
    page(5, 0x80D000, bytes(48))
    page(6, 0x80E000, bytes(48))
    entries = b""
    for guid, data in (
        ("97d02dd8-bd20-4c94-aa78-e7714d36ab2a", line + b"\x00"),
        ("44baf731-3a2f-4bd7-9af1-41e29169781d", initrd),
        ("4de79437-abd2-427f-b835-d5b172d2045b", kernel),
    ):
        entries += uuid.UUID(guid).bytes_le + struct.pack("<H", 50) + hashlib.sha256(data).digest()
    table = uuid.UUID("9438d606-4f22-4cc9-b479-a793d411fd21").bytes_le + struct.pack("<H", 18 + len(entries)) + entries
    page(1, 0x80F000, sha384((bytes(0xC00) + table).ljust(PAGE, b"\x00")))
    for vmsa in vmsas:
        page(2, 0xFFFFFFFFF000, sha384(vmsa))
    return current.hex()


def _artifacts(folder: Path) -> tuple[str, ...]:
    (folder / "vmlinuz").write_bytes(b"kernel" * 100)
    (folder / "initrd").write_bytes(b"initrd" * 100)
    firmware = _firmware(folder)
    return ("--ovmf", str(firmware), "--kernel", str(folder / "vmlinuz"), "--initrd", str(folder / "initrd"))


LAUNCH = ("--append", "console=ttyS0 quiet", "--vcpus", "3", "--vcpu-type", "EPYC-v4")


def _measurement(*arguments: str) -> str:
    (document,) = _json("compute", "--scheme", "sev-snp", "--name", "fw", *arguments)["documents"]
    return str(document["values"]["measurement"])


def test_snp_launch_digest_is_what_the_firmware_abi_says(tmp_path: Path) -> None:
    from sevsnpmeasure.sev_mode import SevMode
    from sevsnpmeasure.vcpu_types import CPU_SIGS
    from sevsnpmeasure.vmm_types import VMMType
    from sevsnpmeasure.vmsa import VMSA

    files = _artifacts(tmp_path)
    vmsas = list(VMSA(SevMode.SEV_SNP, 0xFFFFFFF0, CPU_SIGS["EPYC-v4"], 0x1, VMMType.QEMU).pages(3))
    assert _measurement(*files, *LAUNCH) == _digest(
        (tmp_path / "OVMF.fd").read_bytes(),
        kernel=b"kernel" * 100,
        initrd=b"initrd" * 100,
        line=b"console=ttyS0 quiet",
        vmsas=vmsas,
    )


def test_everything_that_is_launched_counts(tmp_path: Path) -> None:
    files = _artifacts(tmp_path)
    base = _measurement(*files, *LAUNCH)
    found = {
        base,
        _measurement(*files, *LAUNCH, "--guest-features", "0x21"),
        _measurement(*files, *LAUNCH, "--vmm", "ec2"),
    }
    found.add(_measurement(*files, *LAUNCH[:-1], "EPYC-Genoa"))
    found.add(_measurement(*files, *LAUNCH[:2], "--vcpus", "4", *LAUNCH[4:]))
    found.add(_measurement(*files, "--append", "console=ttyS0", *LAUNCH[2:]))
    found.add(_measurement(*files[:4], *LAUNCH))
    (tmp_path / "vmlinuz").write_bytes(b"another kernel")
    found.add(_measurement(*files, *LAUNCH))
    assert len(found) == 8
    assert _measurement(*files[:2], *LAUNCH[2:], "--vcpu-type", "0x00800f12") == _measurement(*files[:2], *LAUNCH[2:])


def test_snp_identity_says_where_it_comes_from(tmp_path: Path) -> None:
    arguments = (*_artifacts(tmp_path), *LAUNCH, "--no-id-block", "--guest-policy", "0x30000", "--vmpl", "1", *AT)
    answer = _json("compute", "--scheme", "sev-snp", "--name", "fw", "--tenant", "acme", "--version", "7", *arguments)
    (document,) = answer["documents"]
    assert (document["kind"], document["tenant"], document["version"]) == ("firmware", "acme", 7)
    said = document["origin"]["measurement"]
    digest = hashlib.sha256((tmp_path / "OVMF.fd").read_bytes()).hexdigest()
    for word in ("sev-snp-measure 0.0", f"OVMF.fd (sha256 {digest})", "--vcpus 3", "EPYC-v4", "console=ttyS0 quiet"):
        assert word in said
    assert "2026-01-01T00:00:00Z" in said
    assert document["origin"]["vmpl"] == "decision of the trust owner: --vmpl 1"
    assert answer["left_out"] == []
    assert document["values"]["guest_policy"]["smt_allowed"] is True


def test_id_block_has_to_be_this_launchs(tmp_path: Path) -> None:
    files = _artifacts(tmp_path)
    digest = bytes.fromhex(_measurement(*files, *LAUNCH))
    block = struct.pack("<48s16s16sIIQ", digest, b"f" * 16, b"i" * 16, 1, 9, 0x30000 | 31)
    auth = bytearray(4096)
    auth[0x240 : 0x240 + 1028] = b"k" * 1028
    (tmp_path / "block").write_bytes(base64.b64encode(block))
    (tmp_path / "auth").write_bytes(auth)
    given = ("--id-block", str(tmp_path / "block"), "--id-auth", str(tmp_path / "auth"))
    (document,) = _json("compute", "--scheme", "sev-snp", "--name", "fw", *files, *LAUNCH, *given)["documents"]
    values = document["values"]
    assert (values["family_id"], values["minimum_guest_svn"], values["minimum_abi"]) == ("66" * 16, 9, "0.31")
    assert values["id_key_digest"] == hashlib.sha384(b"k" * 1028).hexdigest()
    assert values["author_key_digest"] == "0" * 96

    other = _typed(
        "compute", "--scheme", "sev-snp", "--name", "fw", *files, *LAUNCH[:2], "--vcpus", "1", *LAUNCH[4:], *given
    )
    assert other.exit_code == 1
    assert "identity.artifact.id-block" in other.output


# --- the others -------------------------------------------------------------------------------------------------------


def test_nitro_identity_has_the_images_pcrs() -> None:
    (document,) = _json("compute", "--scheme", "aws-nitro", "--eif", str(EIF), "--name", "enclave", *AT)["documents"]
    assert document["kind"] == "workload"
    assert set(document["values"]["pcrs"]) == {"0", "1", "2", "8"}
    assert document["values"]["pcrs"]["0"].startswith("82c6ad14173b")
    assert "signed.eif (sha256 b92be9292b559562" in document["origin"]


@pytest.mark.parametrize(
    ("scheme", "field", "value"),
    [
        ("sev-snp", "host_data", hashlib.sha256(b"config").hexdigest()),
        ("tpm2", "extended", {"digest": hashlib.sha256(b"config").hexdigest()}),
        ("aws-nitro", "extended", {"digest": hashlib.sha384(b"config").hexdigest()}),
        ("tdx", "measured", {"place": "mrconfigid", "digest": hashlib.sha384(b"config").hexdigest()}),
    ],
)
def test_the_attesters_configuration_is_an_identity_of_its_own(
    tmp_path: Path, scheme: str, field: str, value: Any
) -> None:
    (tmp_path / "attester.toml").write_bytes(b"config")
    typed = ("compute", "--scheme", scheme, "--config-file", str(tmp_path / "attester.toml"), "--name", "conf")
    (document,) = _json(*typed)["documents"]
    assert (document["kind"], document["values"]) == ("config", {field: value})


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--scheme", "sev-snp"), 64),
        (("--scheme", "sev-snp", "--eif", "x"), 64),
        (("--scheme", "sev-snp", "--ovmf", "nowhere", "--vcpus", "1", "--vcpu-type", "EPYC"), 64),
        (("--scheme", "sev-snp", "--ovmf", "garbage"), 64),
        (("--scheme", "sev-snp", "--ovmf", "garbage", "--vcpus", "1", "--vcpu-type", "Pentium"), 64),
        (("--scheme", "sev-snp", "--ovmf", "garbage", "--vcpus", "1", "--vcpu-type", "0xxyz"), 64),
        (("--scheme", "sev-snp", "--ovmf", "garbage", "--vcpus", "1", "--vcpu-type", "EPYC", "--append", "x"), 64),
        (
            (
                "--scheme",
                "sev-snp",
                "--ovmf",
                "garbage",
                "--vcpus",
                "1",
                "--vcpu-type",
                "EPYC",
                "--guest-features",
                "x",
            ),
            64,
        ),
        (("--scheme", "sev-snp", "--ovmf", "garbage", "--vcpus", "1", "--vcpu-type", "EPYC"), 2),
        (("--scheme", "aws-nitro", "--eif", "garbage"), 2),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--signing-cert", "garbage"), 2),
        (("--scheme", "tdx", "--ovmf", "garbage"), 2),
        (("--scheme", "tdx", "--uki", "garbage"), 2),
        (("--scheme", "tpm2", "--uki", "garbage"), 2),
        (("--scheme", "tpm2", "--uki", "garbage", "--phase", "Enter Initrd"), 64),
        (("--scheme", "nothing"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--name", "Bad Name"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--without", "workload.nothing"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--without", "workload.pcrs"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--policy", "p"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--output", "out.txt"), 64),
        (("--scheme", "aws-nitro", "--eif", str(EIF), "--output", "no/such/folder.yaml"), 64),
    ],
)
def test_what_cannot_be_computed_leaves_with_the_houses_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "garbage").write_bytes(b"\x01" * 1000)
    done = _typed("compute", "--name", "x", *arguments) if "--name" not in arguments else _typed("compute", *arguments)
    assert done.exit_code == code, done.output
    if code == 2:
        assert "identity.artifact." in done.output or "uki.decode" in done.output
        assert "want" in done.output


# --- from evidence ----------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A forged machine's evidence and endorsements as files; the forged root is no anchor, so nothing of it is genuine."""
    vector = base_vector("sev-snp")
    folder = tmp_path / "endorsements"
    folder.mkdir()
    for name, data in {**vector.endorsements, **vector.collateral}.items():
        (folder / f"{name}.der").write_bytes(data)
    (tmp_path / "report.bin").write_bytes(vector.parts["report"])
    return tmp_path


def _observed(machine: Path, *more: str) -> tuple[str, ...]:
    typed = ("from-evidence", "--scheme", "sev-snp", "--evidence", str(machine / "report.bin"), "--name", "m")
    return (*typed, "--endorsements", str(machine / "endorsements"), "--at", "2027-01-15T08:00:00Z", *more)


def test_no_identity_is_made_of_evidence_that_does_not_verify(machine: Path) -> None:
    assert FORGED_KEYS  # the forged vendor's key is known, and no anchor here
    done = _typed(*_observed(machine))
    assert done.exit_code == 1
    assert "sev-snp.chain.root" in done.output
    shutil.rmtree(machine / "endorsements")
    (machine / "endorsements").mkdir()
    assert _typed(*_observed(machine)).exit_code == 3
    (machine / "report.bin").write_bytes(b"short")
    assert _typed(*_observed(machine)).exit_code == 2


def test_unverified_values_say_so_in_their_origin(machine: Path) -> None:
    documents = _json(*_observed(machine, "--unverified"))["documents"]
    assert [document["kind"] for document in documents] == ["platform", "firmware", "config"]
    assert all(document["origin"].startswith("NOT VERIFIED") for document in documents)
    assert [document["name"] for document in documents] == ["m-platform", "m-firmware", "m-config"]


def test_classes_and_values_are_chosen(machine: Path) -> None:
    typed = _observed(machine, "--unverified", "--class", "platform", "--without", "platform.chip_allow")
    (document,) = _json(*typed)["documents"]
    assert document["name"] == "m"
    assert "chip_allow" not in document["values"]
    assert document["values"]["minimum_tcb"] == {"Milan": {"bl": 4, "tee": 0, "snp": 24, "ucode": 219}}
    assert _typed(*_observed(machine, "--unverified", "--class", "workload")).exit_code == 64


def test_a_case_and_unverified_do_not_go_together(machine: Path) -> None:
    assert _typed("from-evidence", "--case", str(machine), "--unverified", "--name", "m").exit_code == 64
    assert _typed("from-evidence", "--name", "m").exit_code == 64


def test_what_is_written_loads_and_compiles(machine: Path) -> None:
    for suffix in ("yaml", "json"):
        folder = machine / suffix
        folder.mkdir()
        target = folder / f"m.{suffix}"
        done = _typed(*_observed(machine, "--unverified", "--policy", "m", "--output", str(target)))
        assert done.exit_code == 0, done.output
        documents = load_documents(folder)
        assert compile_all(documents, SCHEMES)
        identities = [next(iter(versions.values())).model for versions in documents.identities.values()]
        assert {one.kind for one in identities if isinstance(one, Identity)} == {"platform", "firmware", "config"}
        assert load_single_policy(target, "sev-snp").unchecked >= {"platform.launch_mitigations"}


def test_what_is_printed_is_yaml_that_any_reader_takes_alike(machine: Path) -> None:
    done = _typed(*_observed(machine, "--unverified"))
    printed = list(yaml.safe_load_all(done.stdout))
    assert printed == _json(*_observed(machine, "--unverified"))["documents"]
    assert "unchecked: platform.launch_mitigations" in done.stderr


@pytest.mark.parametrize("case", ["milan-v3-vcek-oak-containers", "genoa-v5-vcek-oak-containers"])
def test_a_published_machine_satisfies_its_own_identity_and_no_other_does(
    evidence_cases: Path, tmp_path: Path, case: str
) -> None:
    target, source = tmp_path / "m.yaml", evidence_cases / "sev-snp" / case
    done = _typed("from-evidence", "--case", str(source), "--name", "m", "--policy", "m", "--output", str(target))
    assert done.exit_code == 0, done.output
    assert "root of kind vendor" in target.read_text()
    codes = {}
    for folder in sorted((evidence_cases / "sev-snp").glob("*oak*")):
        endorsements = tmp_path / folder.name
        endorsements.mkdir()
        for name in ("vcek.der", "ask.pem", "crl.pem"):
            shutil.copy(folder / name, endorsements / name)
        typed = ("--scheme", "sev-snp", "--evidence", str(folder / "report.bin"), "--endorsements", str(endorsements))
        at = json.loads((folder / "case.json").read_text())["verify_at"]
        codes[folder.name] = (
            CliRunner().invoke(appraise_command, [*typed, "--at", at, "--policy", str(target)]).exit_code
        )
    assert codes.pop(case) == 0
    assert len(codes) > 1
    assert set(codes.values()) == {1}


def test_an_invalid_case_gives_no_identity(evidence_cases: Path) -> None:
    folder = evidence_cases / "sev-snp"
    for case, check in (
        ("milan-v3-signature-flipped", "sev-snp.report.signature"),
        ("milan-v2-debug-policy-google", "sev-snp.policy.debug"),
    ):
        done = _typed("from-evidence", "--case", str(folder / case), "--name", "m")
        assert done.exit_code == 1
        assert check in done.output


# --- unified kernel images --------------------------------------------------------------------------------------------

PHASES = "enter-initrd:leave-initrd:sysinit:ready"


@pytest.fixture
def uki(tmp_path: Path) -> SimulatedUki:
    image = make_uki()
    (tmp_path / "linux.efi").write_bytes(image.data)
    return image


def _pcrs(folder: Path, *more: str) -> dict[str, str]:
    typed = ("compute", "--scheme", "tpm2", "--uki", str(folder / "linux.efi"), "--name", "uki", *more)
    (document,) = _json(*typed)["documents"]
    assert document["kind"] == "workload"
    pcrs: dict[str, str] = document["values"]["pcrs"]
    return pcrs


def _register(*digests: bytes) -> str:
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value.hex()


def test_pcrs_of_a_unified_kernel_image(tmp_path: Path, uki: SimulatedUki) -> None:
    assert _pcrs(tmp_path) == {"11": uki.pcr11(SHA256, *PHASES.split(":")).hex(), "12": "0" * 64}
    assert _pcrs(tmp_path, "--phase", "enter-initrd")["11"] == uki.pcr11(SHA256, "enter-initrd").hex()
    line = hashlib.sha256("quiet\x00".encode("utf-16-le")).digest()
    assert _pcrs(tmp_path, "--command-line", "quiet")["12"] == _register(line)


def test_pcr_4_follows_the_chain_of_images(tmp_path: Path, uki: SimulatedUki) -> None:
    """As the log of any PC says: the action, the separator, then each image by its Authenticode digest."""
    loader = make_uki(version="", linux=None)
    (tmp_path / "loader.efi").write_bytes(loader.data)
    start = [hashlib.sha256(b"Calling EFI Application from Boot Option").digest(), hashlib.sha256(bytes(4)).digest()]
    assert _pcrs(tmp_path, "--pcr4")["4"] == _register(*start, uki.authenticode(SHA256))
    chain = (loader.authenticode(SHA256), uki.authenticode(SHA256))
    assert _pcrs(tmp_path, "--pcr4", "--loader", str(tmp_path / "loader.efi"))["4"] == _register(*start, *chain)


@pytest.mark.parametrize("case", ["ubuntu2404-gce-sev-snp", "rhel8-gce-secure-boot", "cos101-gce-sev"])
def test_real_firmware_starts_pcr_4_as_predicted(evidence_cases: Path, case: str) -> None:
    log = decode_log((evidence_cases / "tcg-eventlog" / case / "eventlog.bin").read_bytes(), check_id="x")
    found = [dict(event.digests)[SHA256.id] for event in log.events if event.register == 4]
    action = hashlib.sha256(b"Calling EFI Application from Boot Option").digest()
    assert found[:2] == [action, hashlib.sha256(bytes(4)).digest()]
    assert len(found) > 2


def test_rtmr_2_has_the_sections_and_what_is_named_behind_them(tmp_path: Path, uki: SimulatedUki) -> None:
    typed = ("compute", "--scheme", "tdx", "--uki", str(tmp_path / "linux.efi"), "--name", "uki")
    (document,) = _json(*typed)["documents"]
    assert document["values"] == {"rtmrs": {"2": uki.pcr11(SHA384).hex()}}
    (more,) = _json(*typed, "--then", "ab" * 48)["documents"]
    want = hashlib.sha384(uki.pcr11(SHA384) + bytes.fromhex("ab" * 48)).hexdigest()
    assert more["values"] == {"rtmrs": {"2": want}}
    assert _typed(*typed, "--then", "ab").exit_code == 64


def test_systemds_own_tool_predicts_the_same_pcr_11(tmp_path: Path) -> None:
    tool = Path("/usr/lib/systemd/systemd-measure")
    if not tool.is_file():
        missing(f"{tool}: systemd-measure is not there")
    image = make_uki(version="252.39", uname=None, sbat=None)  # what version 252 measures
    (tmp_path / "linux.efi").write_bytes(image.data)
    files = []
    for name in ("linux", "osrel", "cmdline", "initrd"):
        (tmp_path / name).write_bytes(dict(image.sections)[f".{name}"])
        files.append(f"--{name}={tmp_path / name}")
    said = subprocess.run(
        [str(tool), "calculate", *files, "--bank=sha256", f"--phase={PHASES}", "--json=short"],
        check=True,
        capture_output=True,
    )
    (entry,) = json.loads(said.stdout)["sha256"]
    assert _pcrs(tmp_path)["11"] == entry["hash"]
