"""Real software TPMs at a live verifier of the production kind: a boot that was measured, an enrolment, a quote, a token."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import jwt
import pytest

from attester.enrol import enrol
from attester.flow import verifier_client
from attester.providers import AkKind, EnrollableProvider, opened
from attester.providers import Machine as AttesterMachine
from tests.support.live import FAST, LiveVerifier, problem
from tests.support.parts import missing
from tests.support.swtpm import require_swtpm
from tools.demo.adversaries import flipped, prepare, with_part
from tools.demo.machine import Machine, extend_pcrs, make_machine
from tools.demo.processes import Processes
from tools.demo.stack import lay_verifier
from tools.demo.trust import VaultPlace, tpm_identities, tpm_policy, workload, write_documents
from verifier.formats.encoding import sha256
from verifier.formats.errors import EvidenceRejected

CONFIG = b"the attester's configuration\n"
NAME = "machine"


@dataclass(frozen=True)
class Scene:
    """A verifier and three machines: the tenant's, a stranger's, and one that is changed."""

    live: LiveVerifier
    machines: tuple[Machine, ...]

    def opened(self, machine: int, kind: AkKind = "ecc") -> AttesterMachine:
        """What the attester is told about one of the machines."""
        found = self.machines[machine]
        return AttesterMachine(provider="tpm2", tcti=found.tcti, event_log=str(found.log_file), ak_kind=kind)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    require_swtpm()
    if shutil.which("tpm2_pcrextend") is None:
        missing("tpm2_pcrextend is not installed: apt-get install tpm2-tools")
    path = tmp_path_factory.mktemp("swtpm")
    with Processes(path) as processes:
        machines = tuple(make_machine(path / name, processes, name) for name in ("first", "second", "third"))
        folder = lay_verifier(path / "verifier", settings=dict(FAST))
        anchors = folder.path / "anchors" / "tpm2"
        anchors.mkdir(parents=True)
        for machine in machines:
            for file in machine.ca_files:
                (anchors / f"{machine.log_file.parent.name}-{file.name}").write_bytes(file.read_bytes())
        ca_pem = folder.ca_file.read_text(encoding="ascii")
        place = VaultPlace("https://127.0.0.1:1", ca_pem, "attestation-default", "demo")
        identities = tpm_identities(sha256(CONFIG).hex())
        write_documents(folder.path / "trust" / "t.yaml", [*identities, tpm_policy(), workload(NAME, "demo", place)])
        live = LiveVerifier(folder, processes, place)
        live.start()
        for machine in machines:
            extend_pcrs(machine.tcti, ((15, sha256(CONFIG)),))
        yield Scene(live, machines)


def _allow(scene: Scene, provider: EnrollableProvider) -> None:
    with scene.live.folder.store() as store:
        store.add_eks("default", [provider.enrolment_identity().ek_digest])


@pytest.mark.parametrize("kind", ["ecc", "rsa"])
def test_a_real_tpm_enrols_and_its_quote_yields_a_token(scene: Scene, kind: AkKind) -> None:
    live = scene.live
    trust = live.trust(NAME)
    with opened(scene.opened(0, kind)) as provider:
        assert isinstance(provider, EnrollableProvider)
        early = problem(live.send(prepare(trust, provider).body))
        assert early["check_id"] == "tpm2.ak.enrolled"
        _allow(scene, provider)
        enrolled = enrol(verifier_client(trust), trust, provider)
        live.provider = provider  # type: ignore[assignment]
        claims = jwt.decode(live.attest(trust).token, options={"verify_signature": False})

    assert (claims["root"], claims["simulated"], claims["host_excluded"]) == ("private", "false", "false")
    with live.folder.store() as store:
        assert store.find_ak("default", enrolled.ak_name) is not None


def test_another_machine_of_the_same_make_is_not_let_in(scene: Scene) -> None:
    trust = scene.live.trust(NAME)
    with opened(scene.opened(1)) as provider:
        assert isinstance(provider, EnrollableProvider)
        with pytest.raises(EvidenceRejected) as caught:
            enrol(verifier_client(trust), trust, provider)
        assert caught.value.check_id == "tpm2.enrolment.admission"
        assert problem(scene.live.send(prepare(trust, provider).body))["check_id"] == "tpm2.ak.enrolled"


def test_a_tampered_quote_is_refused_and_a_changed_boot_is_not_wanted(scene: Scene) -> None:
    live = scene.live
    trust = live.trust(NAME)
    with opened(scene.opened(2)) as provider:
        assert isinstance(provider, EnrollableProvider)
        _allow(scene, provider)
        enrol(verifier_client(trust), trust, provider)
        request = prepare(trust, provider)
        size = len(request.envelope.parts["quote"])
        tampered = with_part(trust, request, "quote", flipped(size - 1))
        assert problem(live.send(tampered.body))["check_id"] == "tpm2.quote.signature"
        assert live.send(request.body).status == 200

        extend_pcrs(scene.machines[2].tcti, ((8, bytes(32)),))
        assert problem(live.send(prepare(trust, provider).body))["check_id"] == "tpm2.eventlog.replay"

    assert "Traceback" not in live.log()


def test_a_second_configuration_is_not_obeyed(scene: Scene) -> None:
    """The register takes one configuration: what comes after it is another boot's."""
    with opened(scene.opened(0)) as provider, pytest.raises(EvidenceRejected) as caught:
        provider.measure_config(b"another configuration\n")
    assert caught.value.check_id == "attester.config.measured"
