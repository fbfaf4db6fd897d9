"""A real (software) TPM, judged by the verifier's own checks: quote, enrolment, configuration PCR."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from attester.enrol import enrol
from attester.flow import verifier_client
from attester.problems import hint_for
from attester.providers import Machine, opened
from attester.providers.tpm2 import Tpm2, open_provider
from attester.providers.tpm_device import Device
from attester.settings import Trust
from forge.bootlog import measured_boot
from forge.ima import MeasurementList, small_system
from tests.support.false_servers import Said, Seen, problem, responding
from tests.support.signing import new_key
from tests.support.swtpm import EkCa, RunningTpm, manufacture, running_swtpm
from tools.demo.trust import image_file
from verifier.core.binding import BindingDigest
from verifier.core.ids import BindingId
from verifier.core.wire import EnrolmentProof, EnrolmentRequest
from verifier.formats.encoding import b64url, unb64url
from verifier.formats.errors import CannotDecide, ConfigError, EvidenceRejected
from verifier.formats.x509chain import Anchor, ChainCache
from verifier.tee.scheme import Subject
from verifier.tee.tcg.decode import decode_log
from verifier.tee.tcg.layout import EV_NO_ACTION, SHA256
from verifier.tee.tpm2.collateral import Collateral, EnrolledKey
from verifier.tee.tpm2.decode import decode
from verifier.tee.tpm2.enrolment import check_ak, check_ek, describe_ek, make_credential
from verifier.tee.tpm2.layout import decode_public
from verifier.tee.tpm2.scheme import SCHEME
from verifier.tee.verified import Bound, require_parts, run_checks

NOW = 1_795_000_000
DIGEST = BindingDigest(whole=bytes(range(64)), short=bytes(range(32)))
CONFIG = b"version = 1\n"


@contextmanager
def measured_machine(made_tpm: Path, folder: Path) -> Iterator[tuple[RunningTpm, Path]]:
    """Boot a copy of the TPM with a measured boot; yields it and its event log."""
    shutil.copytree(made_tpm, folder / "state")
    log = folder / "binary_bios_measurements"
    log.write_bytes(measured_boot().to_bytes())
    with running_swtpm(folder / "state") as tpm:
        provider = open_provider(machine_of(tpm, folder))
        for event in decode_log(log.read_bytes()).events:
            if event.type != EV_NO_ACTION:
                provider._device.extend(event.register, {"sha256": event.digests[SHA256.id]})
        provider.close()
        yield tpm, log


def machine_of(tpm: RunningTpm, folder: Path, **changes: object) -> Machine:
    machine = Machine(
        provider="tpm2",
        tcti=tpm.tcti,
        event_log=str(folder / "binary_bios_measurements"),
        lock_folder=str(folder),
    )
    return replace(machine, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Booted:
    """A TPM after a measured boot."""

    tpm: RunningTpm
    folder: Path
    log: Path

    def machine(self, **changes: object) -> Machine:
        """Describe it to the attester."""
        return machine_of(self.tpm, self.folder, **changes)


@pytest.fixture
def booted(made_tpm: Path, tmp_path: Path) -> Iterator[Booted]:
    with measured_machine(made_tpm, tmp_path) as (tpm, log):
        yield Booted(tpm, tmp_path, log)


def judge(provider: Tpm2, expected: BindingDigest = DIGEST) -> None:
    """Let the verifier's checks judge fresh evidence of an enrolled AK."""
    envelope = provider.collect(DIGEST)
    require_parts(SCHEME, envelope.parts, envelope.endorsements)
    identity = provider.enrolment_identity()
    public, ek = decode_public(identity.ak_public, check_id="x"), describe_ek(identity.ek_public)
    assert ek.digest == identity.ek_digest
    ak = EnrolledKey(identity.ak_name, identity.ak_public, public, ek.name, ek.digest, "private")
    subject = Subject(decode(envelope.parts), Collateral(ak), (), NOW, ChainCache())
    run_checks(SCHEME, subject, Bound(expected))


@pytest.mark.parametrize("kind", ["ecc", "rsa"])
def test_a_quote_passes_every_check_of_the_verifier(booted: Booted, kind: str) -> None:
    with opened(booted.machine(ak_kind=kind)) as provider:
        assert isinstance(provider, Tpm2)
        judge(provider)


def test_the_quote_carries_this_digest_and_no_other(booted: Booted) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        with pytest.raises(EvidenceRejected) as caught:
            judge(provider, BindingDigest(whole=bytes(64), short=bytes(32)))
    assert caught.value.check_id == BindingId.USER_DATA


def test_parts_are_what_the_envelope_promises(booted: Booted) -> None:
    with opened(booted.machine(pcrs=(0, 7))) as provider:
        parts = provider.collect(DIGEST).parts
    assert sorted(json.loads(parts["pcrs"])["sha256"], key=int) == ["0", "7", "15"]
    assert parts["eventlog"] == booted.log.read_bytes()
    assert parts["quote"][:4] == b"\xffTCG"


def test_the_same_ak_comes_back_without_any_state_of_ours(booted: Booted, made_tpm: Path) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        first = provider.enrolment_identity()
        assert provider.enrolment_identity() == first
    other = booted.folder / "after-reboot"
    other.mkdir()
    with measured_machine(made_tpm, other) as (tpm, _), opened(machine_of(tpm, other)) as provider:
        assert isinstance(provider, Tpm2)
        assert provider.enrolment_identity() == first


def test_nothing_stays_loaded_in_the_tpm(booted: Booted) -> None:
    """There is no resource manager here: three objects left behind would fill the TPM."""
    with opened(booted.machine()) as provider:
        for _ in range(6):
            provider.collect(DIGEST)
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        from tpm2_pytss.constants import TPM2_CAP, TPM2_HC

        for first in (TPM2_HC.TRANSIENT_FIRST, TPM2_HC.LOADED_SESSION_FIRST):
            _, data = provider._device._esapi.get_capability(TPM2_CAP.HANDLES, first, 10)
            assert data.data.handles.count == 0


def test_pcrs_that_move_during_the_quote_are_read_again(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another connection's extend falls between the reading and the quote, twice."""
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        device, moves = provider._device, iter([True, True, False, False])
        read = device.read_pcrs

        def meanwhile(bank: str, pcrs: tuple[int, ...]) -> dict[int, bytes]:
            values = read(bank, pcrs)
            if next(moves):
                device.extend(14, {"sha256": bytes(32)})
            return values

        monkeypatch.setattr(device, "read_pcrs", meanwhile)
        values = json.loads(provider.collect(DIGEST).parts["pcrs"])["sha256"]
        monkeypatch.undo()
        assert bytes.fromhex(values["14"]) == device.read_pcrs("sha256", (14,))[14]


def test_pcrs_that_never_rest_give_no_evidence(booted: Booted, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        device = provider._device
        read = device.read_pcrs

        def meanwhile(bank: str, pcrs: tuple[int, ...]) -> dict[int, bytes]:
            values = read(bank, pcrs)
            device.extend(14, {"sha256": bytes(32)})
            return values

        monkeypatch.setattr(device, "read_pcrs", meanwhile)
        with pytest.raises(CannotDecide) as caught:
            provider.collect(DIGEST)
    assert caught.value.check_id == "attester.tpm2.pcrs"


def test_the_configuration_is_measured_once_per_boot(booted: Booted) -> None:
    want = hashlib.sha256(bytes(32) + hashlib.sha256(CONFIG).digest()).hexdigest()
    for _ in range(3):
        with opened(booted.machine()) as provider:
            provider.measure_config(CONFIG)
            assert json.loads(provider.collect(DIGEST).parts["pcrs"])["sha256"]["15"] == want


def test_another_configuration_in_the_same_boot_is_not_obeyed(booted: Booted) -> None:
    with opened(booted.machine()) as provider:
        provider.measure_config(CONFIG)
        with pytest.raises(EvidenceRejected) as caught:
            provider.measure_config(CONFIG + b"\n")
    assert caught.value.check_id == "attester.config.measured"
    assert "boot again" in hint_for(caught.value.check_id)


def test_a_pcr_that_somebody_else_used_is_not_extended_over(booted: Booted) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        provider._device.extend(15, {"sha256": bytes(32)})
        before = provider._device.read_pcrs("sha256", (15,))
        with pytest.raises(EvidenceRejected):
            provider.measure_config(CONFIG)
        assert provider._device.read_pcrs("sha256", (15,)) == before


def test_no_active_bank_is_left_without_the_configuration(ek_ca: EkCa, tmp_path: Path) -> None:
    """A quote over another bank must not show an untouched PCR beside the measured one."""
    banks = ("sha1", "sha256", "sha384", "sha512")
    manufacture(tmp_path / "state", ek_ca, banks=banks)
    with running_swtpm(tmp_path / "state") as tpm, opened(machine_of(tpm, tmp_path)) as provider:
        assert isinstance(provider, Tpm2)
        assert provider._device.banks() == banks
        provider.measure_config(CONFIG)
        for bank in banks:
            digest = hashlib.new(bank, CONFIG).digest()
            want = hashlib.new(bank, bytes(len(digest)) + digest).digest()
            assert provider._device.read_pcrs(bank, (15,)) == {15: want}


def test_the_index_of_the_configuration_pcr_can_be_chosen_and_is_quoted(booted: Booted) -> None:
    with opened(booted.machine(config_pcr=13, pcrs=(0,))) as provider:
        provider.measure_config(CONFIG)
        assert "13" in json.loads(provider.collect(DIGEST).parts["pcrs"])["sha256"]


def test_a_false_configuration_taints_the_boot(booted: Booted, tmp_path: Path) -> None:
    """The command obeys the first configuration and no second one; the quote shows which it was."""
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text("version = 1\n")
    second.write_text("version = 1\n# the host's own\n")
    image = tmp_path / "image.toml"
    image.write_bytes(image_file(new_key().public_jwk))

    def run(config: Path) -> tuple[int, str]:
        place = ["--provider", "tpm2", "--tcti", booted.tpm.tcti, "--config", str(config), "--nonce", b64url(bytes(64))]
        place += ["--image-file", str(image)]
        done = subprocess.run(
            [sys.executable, "-m", "attester.cli.__main__", "evidence", *place, "--format", "json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout

    # The first is measured, obeyed, and only then found wanting: it names no verifier.
    assert run(first)[0] == 64
    code, out = run(second)
    assert code == 1
    assert json.loads(out)["check_id"] == "attester.config.measured"


@dataclass
class Enroller:
    """The verifier's side of an enrolment, with its real judgement of EK and AK, and no store."""

    ca: EkCa
    secret: bytes = field(default_factory=lambda: os.urandom(32))
    proofs: list[tuple[str, EnrolmentProof]] = field(default_factory=list)
    requests: list[EnrolmentRequest] = field(default_factory=list)
    break_name: bool = False

    def respond(self, seen: Seen) -> Said:
        """Answer POST and PUT."""
        if seen.method == "PUT":
            proof = EnrolmentProof.model_validate_json(seen.body)
            self.proofs.append((seen.path, proof))
            good = unb64url(proof.secret) == self.secret
            return Said(204) if good else Said(403, problem(403, "tpm2.enrolment.secret"))
        request = EnrolmentRequest.model_validate_json(seen.body)
        self.requests.append(request)
        root = x509.load_pem_x509_certificate(self.ca.root_pem).public_bytes(Encoding.DER)
        chain = tuple(unb64url(text) for text in request.ek_chain)
        ek_public, ak_public = unb64url(request.ek_public), unb64url(request.ak_public)
        now = int(x509.load_der_x509_certificate(chain[0]).not_valid_before_utc.timestamp()) + 60
        check_ek(chain, ek_public, (Anchor("test", root, "private"),), now, ChainCache())
        name = check_ak(ak_public).name
        blob, secret = make_credential(ek_public, bytes(34) if self.break_name else name, self.secret, os.urandom)
        answer = {"credential_blob": b64url(blob), "encrypted_secret": b64url(secret), "state": b64url(b"state")}
        return Said(200, {**answer, "expires_in": 120})


@pytest.fixture
def enroller(ek_ca: EkCa) -> Enroller:
    return Enroller(ek_ca)


def _trust(url: str, ca: str) -> Trust:
    root = dict(new_key().public_jwk)
    return Trust(
        url=url, ca=ca, issuer=url, root=root, root_lowest_seq=1, tenant="default", workload="web", audience="vault"
    )


@pytest.fixture
def chain_file(ek_ca: EkCa, tmp_path: Path) -> str:
    path = tmp_path / "ek-chain.pem"
    path.write_bytes(ek_ca.issuer_pem)
    return str(path)


@pytest.mark.parametrize("kind", ["ecc", "rsa"])
def test_enrolment_goes_through_with_the_verifiers_own_judgement(
    booted: Booted, enroller: Enroller, chain_file: str, kind: str
) -> None:
    with (
        responding(booted.folder, "enroller", enroller.respond) as server,
        opened(booted.machine(ak_kind=kind)) as provider,
    ):
        assert isinstance(provider, Tpm2)
        trust = _trust(server.url, server.ca)
        identity = enrol(verifier_client(trust), trust, provider, ticket="a-ticket", chain_file=chain_file)
    assert enroller.requests[0].ticket == "a-ticket"
    assert [path for path, _ in enroller.proofs] == [f"/v1/tpm2/enrolments/{identity.ak_name.hex()}"]
    assert len(identity.ek_chain) == 2


def test_an_elliptic_ek_enrols_as_well(booted: Booted, enroller: Enroller, chain_file: str) -> None:
    """Swtpm's second EK is P-384 with SHA-384, from the high range: the RSA one's certificate is taken away."""
    script = "tpm2_nvundefine -C p 0x01c00002 2>&1 || tpm2_nvundefine -C o 0x01c00002"
    if shutil.which("tpm2_nvundefine") is None:
        from tests.support.parts import missing

        missing("tpm2-tools are not installed")
    env = {**os.environ, "TPM2TOOLS_TCTI": booted.tpm.tcti}
    done = subprocess.run(["sh", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (
        responding(booted.folder, "enroller", enroller.respond) as server,
        opened(booted.machine()) as provider,
    ):
        assert isinstance(provider, Tpm2)
        trust = _trust(server.url, server.ca)
        enrol(verifier_client(trust), trust, provider, chain_file=chain_file)
    ek = decode_public(unb64url(enroller.requests[0].ek_public), check_id="x")
    assert len(ek.unique[0]) == 48
    assert enroller.requests[0].ticket is None
    assert len(enroller.proofs) == 1


def test_an_ek_is_made_anew_where_none_is_kept(booted: Booted) -> None:
    """Without the persistent EK the template gives the same key, as its certificate shows."""
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        kept = provider.enrolment_identity()
        # The persistent handle disappears; the primary has to be made.
        provider._device.has_handle = lambda _number: False  # type: ignore[method-assign]
        assert provider.enrolment_identity() == kept


def test_a_credential_for_another_key_is_refused_by_the_tpm(
    booted: Booted, enroller: Enroller, chain_file: str
) -> None:
    enroller.break_name = True
    with (
        responding(booted.folder, "enroller", enroller.respond) as server,
        opened(booted.machine()) as provider,
    ):
        assert isinstance(provider, Tpm2)
        trust = _trust(server.url, server.ca)
        with pytest.raises(CannotDecide) as caught:
            enrol(verifier_client(trust), trust, provider, chain_file=chain_file)
    assert caught.value.check_id == "attester.tpm2.device"
    assert enroller.proofs == []


def test_a_tpm_whose_ek_certificate_is_missing_says_so(booted: Booted, tmp_path: Path) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        provider._device.ek_certificate = lambda _index: None  # type: ignore[method-assign]
        with pytest.raises(CannotDecide) as caught:
            provider.enrolment_identity()
        assert caught.value.check_id == "attester.tpm2.ek"
        (tmp_path / "broken.pem").write_text("no certificate")
        with pytest.raises(CannotDecide):
            provider.enrolment_identity(str(tmp_path / "broken.pem"))


def test_a_certificate_file_stands_in_for_what_nv_lacks(booted: Booted, tmp_path: Path) -> None:
    with opened(booted.machine()) as provider:
        assert isinstance(provider, Tpm2)
        identity = provider.enrolment_identity()
        body = base64.encodebytes(identity.ek_chain[0]).decode()
        (tmp_path / "ek.pem").write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
        provider._device.ek_certificate = lambda _index: None  # type: ignore[method-assign]
        assert provider.enrolment_identity(str(tmp_path / "ek.pem")) == identity


@pytest.mark.parametrize("bad", ["swtpm:host=127.0.0.1,port=1", "no-such-tcti", "device:/dev/null/tpm"])
def test_a_tpm_that_is_not_there_is_named(bad: str) -> None:
    with pytest.raises(CannotDecide) as caught, opened(Machine(provider="tpm2", tcti=bad)):
        pass
    assert caught.value.check_id == "attester.tpm2.device"


def test_a_log_that_is_too_long_is_refused_and_one_that_is_missing_is_left_out(booted: Booted) -> None:
    booted.log.write_bytes(bytes(1024 * 1024 + 1))
    with opened(booted.machine()) as provider:
        with pytest.raises(CannotDecide) as caught:
            provider.collect(DIGEST)
        assert caught.value.check_id == "attester.tpm2.eventlog"
    booted.log.unlink()
    with opened(booted.machine()) as provider:
        assert "eventlog" not in provider.collect(DIGEST).parts


@pytest.fixture
def measuring(booted: Booted) -> tuple[Booted, MeasurementList, Path]:
    """Return a machine whose kernel measures files: its list and the file that holds it, PCR 10 extended with it."""
    provider = open_provider(booted.machine())
    values = provider._device.read_pcrs("sha256", tuple(range(10)))
    found, file = small_system(values), booted.folder / "ascii_runtime_measurements"
    for digest in found.extends():
        provider._device.extend(10, {"sha256": digest})
    provider.close()
    file.write_bytes(found.to_bytes())
    return booted, found, file


def test_the_list_of_measured_files_goes_along_with_pcr_10(measuring: tuple[Booted, MeasurementList, Path]) -> None:
    booted, found, file = measuring
    with opened(booted.machine(ima_list=str(file), pcrs=(*range(8), 8, 9))) as provider:
        assert isinstance(provider, Tpm2)
        judge(provider)
        parts = provider.collect(DIGEST).parts
    assert parts["ascii_runtime_measurements"] == found.to_bytes()
    assert "10" in json.loads(parts["pcrs"])["sha256"]


def test_the_list_is_read_after_the_quote(
    measuring: tuple[Booted, MeasurementList, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is used while the TPM quotes stands in the list and not in the quote: the verifier takes the prefix."""
    booted, found, file = measuring
    quote = Device.quote

    def quote_and_use_a_file(self: Device, *args: Any, **kwargs: Any) -> Any:
        answer = quote(self, *args, **kwargs)
        file.write_bytes(found.file(b"/usr/bin/late", b"late").to_bytes())
        return answer

    monkeypatch.setattr(Device, "quote", quote_and_use_a_file)
    with opened(booted.machine(ima_list=str(file))) as provider:
        assert isinstance(provider, Tpm2)
        judge(provider)
        evidence = decode(provider.collect(DIGEST).parts)
    assert evidence.ima is not None
    assert evidence.ima_quoted == 5
    assert len(evidence.ima.entries) > evidence.ima_quoted


@pytest.mark.parametrize("content", [None, b"", bytes(1024 * 1024 + 1)], ids=["missing", "empty", "too-long"])
def test_a_list_that_was_asked_for_and_cannot_be_sent_stops_it(booted: Booted, content: bytes | None) -> None:
    file = booted.folder / "list"
    if content is not None:
        file.write_bytes(content)
    with opened(booted.machine(ima_list=str(file))) as provider, pytest.raises(CannotDecide) as caught:
        provider.collect(DIGEST)
    assert caught.value.check_id == "attester.tpm2.ima"


def test_only_a_tpm_is_enrolled(run_cli: Callable[..., tuple[int, str]]) -> None:
    code, out = run_cli("enrol", "--show-identity", "--provider", "simulated")
    assert code == 64
    assert "only a TPM is enrolled" in out


@pytest.fixture
def run_cli() -> Callable[..., tuple[int, str]]:
    """Run a command in this process."""
    from click.testing import CliRunner

    from attester.cli.__main__ import cli

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli, list(words))
        return done.exit_code, done.output

    return run


def test_unknown_providers_are_refused() -> None:
    with pytest.raises(ConfigError), opened(Machine(provider="other")):
        pass
