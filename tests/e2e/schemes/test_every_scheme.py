"""Every scheme, over HTTP, from one imported bundle: its machine gets a token that says what it is; what is not bound to it gets none.

One simulated verifier without any endpoint: all collateral of all vendors comes from one signed bundle, all anchors are forged.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from attester.flow import attest_once, bind, challenge, request_body, verifier_client
from attester.https import Reply
from attester.keys import REQUEST_MEDIA_TYPE, RequestKeys
from tests.e2e.collateral.test_offline import command
from tests.support.forged import HOST_EXCLUDED, ForgedMachine, Provider, forged_machines
from tests.support.live import LiveVerifier, live_verifier, problem
from verifier.adapters.collateral.bundle import make_bundle
from verifier.adapters.collateral.cache import Entry
from verifier.adapters.collateral.documents import inspect
from verifier.adapters.collateral.items import item
from verifier.core.envelope import Envelope
from verifier.formats.jwk import public_jwk
from verifier.tee.registry import SCHEMES

NOW = int(time.time())
# A TPM's key is enrolled first: tests/e2e/service/test_tpm2.py has it.
NAMES = sorted(set(SCHEMES) - {"tpm2"})
_CHAIN = "-chain"


@cache
def machines(label: str = "0") -> Mapping[str, ForgedMachine]:
    """Return a machine of every scheme."""
    return forged_machines(NOW, label)


def _entries() -> list[Entry]:
    """Return all collateral of all machines; a document's issuer chain travels with it."""
    published = {key: data for machine in machines().values() for key, data in machine.collateral.items()}
    made = []
    for (kind, key), body in sorted(published.items()):
        of = None if kind.endswith(_CHAIN) else item(kind, key)
        if of is not None:
            chain = published.get((f"{kind}{_CHAIN}", key), b"")
            made.append(Entry(of, body, chain, "bundle", NOW, inspect(of, body, chain)))
    return made


@dataclass(frozen=True)
class Place:
    """The running verifier, and how a machine talks to it."""

    live: LiveVerifier

    def claims(self, machine: ForgedMachine) -> dict[str, Any]:
        """Attest and return what the token says; its signature is checked against the published keys."""
        trust = self.live.trust(machine.scheme)
        opened = attest_once(verifier_client(trust), trust, Provider(machine), lambda: int(time.time()))
        keys = jwt.PyJWKSet.from_dict(self.live.get("/t/default/.well-known/jwks.json").json())
        key = keys[jwt.get_unverified_header(opened.token)["kid"]]
        claims: dict[str, Any] = jwt.decode(
            opened.token, key.key, algorithms=["ES256"], audience=trust.audience, issuer=trust.issuer
        )
        return claims

    def send(self, machine: ForgedMachine, *, bound_to: str = "", spoil: Any = None) -> Reply:
        """Send evidence; ``bound_to`` another workload, or spoilt by a function of the envelope."""
        trust = self.live.trust(machine.scheme)
        client, keys = verifier_client(trust), RequestKeys.fresh()
        nonce = challenge(client, trust)
        digest = bind(self.live.trust(bound_to) if bound_to else trust, keys, nonce)
        evidence: Envelope = machine.make(digest)
        if spoil is not None:
            evidence = spoil(evidence, digest)
        headers = {"Content-Type": REQUEST_MEDIA_TYPE}
        return client.call("POST", "/v1/attestations", body=request_body(trust, keys, nonce, evidence), headers=headers)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    path = tmp_path_factory.mktemp("schemes")
    key = ec.generate_private_key(ec.SECP256R1())
    (path / "bundle-keys.json").write_text(json.dumps({"ops": public_jwk(key)}))
    bundle = path / "bundle.jws"
    bundle.write_bytes(make_bundle(_entries(), issued=NOW, signer="ops", key=key))
    settings = {"kds_url": "", "pcs_url": "", "collateral_keys_file": str(path / "bundle-keys.json")}
    with live_verifier(path, settings) as live:
        live.stop()
        live.trust_machines(machines(), NOW)  # nothing but the bundle has endorsements
        assert command(live.folder.settings_file, "import", str(bundle))[0] == 0
        live.start()
        yield Place(live)


def test_every_scheme_is_here() -> None:
    assert sorted(machines()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_machine_gets_a_token_that_says_what_it_is(name: str, place: Place) -> None:
    claims = place.claims(machines()[name])
    assert claims["tee"] == name
    assert claims["workload"] == name
    assert claims["root"] == "simulated"
    assert claims["simulated"] == "true"
    assert claims["host_excluded"] == ("true" if name in HOST_EXCLUDED else "false")
    assert claims["dbgstat"] != "enabled"
    assert claims["measurement"]
    assert claims["instance"].startswith("i:")
    assert set(claims["submods"]) == {name}
    assert claims["tcb_status"] == ("UpToDate" if "tdx" in name or name == "sgx" else "NotApplicable")


@pytest.mark.parametrize("name", NAMES)
def test_evidence_that_is_bound_to_another_workload_is_refused(name: str, place: Place) -> None:
    other = next(one for one in NAMES if one != name)
    reply = place.send(machines()[name], bound_to=other)
    assert (reply.status, problem(reply)["check_id"]) == (403, "binding.user-data")


@pytest.mark.parametrize("name", [name for name in NAMES if name.endswith("-gpu") and name != "nvidia-gpu"])
def test_a_gpu_of_another_machine_is_refused(name: str, place: Place) -> None:
    """Genuine, fresh, of the same request: but the binder vouches for another one."""

    def swap(evidence: Envelope, digest: Any) -> Envelope:
        cpu, _gpu = evidence.components
        _other_cpu, other_gpu = machines("1")[name].make(digest).components
        return Envelope(evidence.scheme, evidence.parts, evidence.endorsements, (cpu, other_gpu))

    reply = place.send(machines()[name], spoil=swap)
    assert (reply.status, problem(reply)["check_id"]) == (403, "binding.user-data")


@pytest.mark.parametrize("name", ["azure-snp-vtpm", "azure-tdx-vtpm"])
def test_a_vtpm_of_another_machine_is_refused(name: str, place: Place) -> None:
    """A genuine quote beside a genuine report of another machine: the runtime claims name another key."""

    def swap(evidence: Envelope, digest: Any) -> Envelope:
        other = machines("1")[name].make(digest)
        parts = {**other.parts, "hcl_report": evidence.parts["hcl_report"]}
        if "td_quote" in parts:
            parts["td_quote"] = evidence.parts["td_quote"]
        return Envelope(evidence.scheme, parts, evidence.endorsements)

    reply = place.send(machines()[name], spoil=swap)
    assert (reply.status, problem(reply)["check_id"]) == (403, f"{name}.quote.signature")


@pytest.mark.parametrize("name", NAMES)
def test_no_part_may_be_left_out(name: str, place: Place) -> None:
    machine = machines()[name]
    scheme = SCHEMES[name]
    for part in sorted(scheme.form.required):
        folder, _, own = part.rpartition(".")

        def without(evidence: Envelope, _digest: Any, folder: str = folder, own: str = own) -> Envelope:
            def cut(one: Envelope) -> Envelope:
                mine = one.scheme.replace("-", "_") == folder if folder else one is evidence
                parts = {n: d for n, d in one.parts.items() if not (mine and n == own)}
                return Envelope(one.scheme, parts, one.endorsements, tuple(cut(c) for c in one.components))

            return cut(evidence)

        reply = place.send(machine, spoil=without)
        assert reply.status == 400, part
        assert problem(reply)["check_id"] in {f"{name}.decode.{part}", "wire.evidence.parts"}


def test_all_of_it_came_from_the_bundle(place: Place) -> None:
    code, shown = command(place.live.folder.settings_file, "show")
    assert code == 0
    assert {one["source"] for one in shown["items"]} == {"bundle"}


def test_there_was_nobody_to_ask() -> None:
    """``make test`` runs the suite in a network namespace without a route (tools/offline.py); CI insists on it."""
    if os.environ.get("VAB_TEST_OFFLINE") != "1":
        assert os.environ.get("CI") != "true", "CI has to run the tests by `make test`, without a network"
        pytest.skip("run by `make test` for this")
    with pytest.raises(OSError, match="unreachable"), socket.create_connection(("192.0.2.1", 443), timeout=1):
        pass
