"""The provider ``simulated``: forged machines of every scheme answer challenges, and measure configurations where real ones do."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec

from attester.cli.__main__ import cli
from attester.providers import SIMULATED_FIXED, Machine, Provider, SimulatedScheme
from attester.providers.simulated import _MAKERS, _SEVERAL, open_provider
from forge.certificates import spki
from forge.tpm2 import make_tpm
from tests.support.forged import ForgedMachine, forged_machines
from tests.support.vectors import Vector, verify_vector
from verifier.core import wire
from verifier.core.binding import BindingDigest, Context, binding_digest
from verifier.formats.errors import ConfigError, EvidenceRejected
from verifier.tee.registry import SCHEMES
from verifier.tee.scheme import Verified
from verifier.tee.verified import Bound, Expected, UnsafeUnbound

CONFIG, OTHER = b"version = 1\n", b"version = 1\n\n"
# A TPM's key is enrolled first: tests/unit/attester/test_tpm2.py and the tests of `enrol` have it.
NAMES = sorted(set(get_args(SimulatedScheme)) - {"tpm2"})
_CONTEXT = Context("https://v/t/default", "default", "web", "vault")


@cache
def _known() -> Mapping[str, ForgedMachine]:
    return forged_machines(int(time.time()))


def digest_of(nonce: bytes) -> BindingDigest:
    key = spki(ec.derive_private_key(7, ec.SECP256R1()).public_key())
    return binding_digest(nonce, b"\x01" * 32, b"\x02" * 32, _CONTEXT, enc_spki=key)


DIGEST, ELSE = digest_of(bytes(range(64))), digest_of(bytes(64))


def hashed(name: str, config: bytes) -> bytes:
    return hashlib.new(SIMULATED_FIXED[name][1], config).digest() if name in SIMULATED_FIXED else b""


def machine(name: str, config: bytes = CONFIG) -> Machine:
    """The machine whose host fixed this configuration at launch, where hosts of its kind do."""
    return Machine(provider="simulated", simulated_scheme=name, simulated_host_data=hashed(name, config))  # type: ignore[arg-type]


def verified(name: str, envelope: Any, expected: Expected) -> Verified[Any, Any]:
    """Judge an envelope as it arrives, under the forged roots, with the collateral that the forged vendors publish."""
    model = wire.parse_model(wire.EnvelopeModel, json.dumps(envelope).encode())
    parts, endorsements = wire.flatten(wire._envelope(model))
    scheme, known = SCHEMES[name], _known()[name]
    needs = scheme.collateral.needs(scheme.form.decode(parts), endorsements)
    vector = Vector(
        name=name,
        scheme=name,
        parts=parts,
        outcome="accepted",
        endorsements=endorsements,
        collateral={n.name: known.collateral[n.kind, n.key] for n in needs if (n.kind, n.key) in known.collateral},
        anchors=tuple(anchor for anchors in known.anchors.values() for anchor in anchors),
        now=int(time.time()),
        expected=expected,
    )
    return verify_vector(vector, scheme)


def answered(provider: Provider, digest: BindingDigest) -> dict[str, Any]:
    return provider.collect(digest).as_json()


def configured(name: str, config: bytes) -> Any:
    """The value of the scheme's one rule about configurations that names this one."""
    sha256, sha384, sha512 = (hashlib.new(f"sha{n}", config).hexdigest() for n in (256, 384, 512))
    return {
        "sev-snp.host-data": sha256,
        "tdx.config": {"place": "mrconfigid", "digest": sha384},
        "sgx.configid": {"configid": sha512, "minimum_configsvn": 0},
        "arm-cca.realm.personalization": sha512,
        "aws-nitro.config.extended": {"digest": sha384, "pcr": 16},
        "aws-nitrotpm.config.extended": {"digest": sha384, "pcr": 15},
    }.get(name, {"digest": sha256, "pcr": 15})


def test_every_scheme_has_a_forge() -> None:
    """A scheme that the registry gets later is noticed here."""
    assert set(get_args(SimulatedScheme)) == set(SCHEMES) == {*_MAKERS, "tpm2"}
    assert set(SIMULATED_FIXED) <= set(_MAKERS)


@pytest.mark.parametrize("name", NAMES)
def test_evidence_is_accepted_and_bound(name: str) -> None:
    provider = open_provider(machine(name))
    assert (provider.scheme, provider.size) == (name, SCHEMES[name].binding.size)
    seen = verified(name, answered(provider, DIGEST), Bound(DIGEST))
    assert (seen.bound, seen.root) == (True, "simulated")


@pytest.mark.parametrize("name", NAMES)
def test_another_digest_is_refused(name: str) -> None:
    with pytest.raises(EvidenceRejected) as caught:
        verified(name, answered(open_provider(machine(name)), ELSE), Bound(DIGEST))
    assert caught.value.check_id == "binding.user-data"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"nvidia-gpu"}))
def test_a_configuration_stands_where_the_schemes_rule_looks(name: str) -> None:
    """The same file is measured as the policy's identity says it; another one is refused here or by that rule."""
    (rule,) = (rule for rule in SCHEMES[name].appraisal.rules if rule.scope == "config")
    provider = open_provider(machine(name))
    provider.measure_config(CONFIG)
    seen = verified(name, answered(provider, DIGEST), Bound(DIGEST))
    assert rule.judge(seen, configured(rule.id, CONFIG)).ok
    assert not rule.judge(seen, configured(rule.id, OTHER)).ok


@pytest.mark.parametrize("name", sorted(SIMULATED_FIXED))
def test_what_the_host_did_not_fix_is_refused(name: str) -> None:
    for here in (machine(name), Machine(simulated_scheme=name)):  # type: ignore[arg-type]
        with pytest.raises(EvidenceRejected) as caught:
            open_provider(here).measure_config(OTHER)
        assert caught.value.check_id == "attester.config.measured"
        assert SIMULATED_FIXED[name][0] in caught.value.detail


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SIMULATED_FIXED) - {"nvidia-gpu"}))
def test_another_configuration_extends_another_value(name: str) -> None:
    (rule,) = (rule for rule in SCHEMES[name].appraisal.rules if rule.scope == "config")
    for files in ((OTHER,), (CONFIG, CONFIG), ()):
        provider = open_provider(machine(name))
        for file in files:
            provider.measure_config(file)
        seen = verified(name, answered(provider, DIGEST), Bound(DIGEST))
        assert not rule.judge(seen, configured(rule.id, CONFIG)).ok, files


def test_a_gpu_by_itself_takes_no_outside_configuration() -> None:
    with pytest.raises(EvidenceRejected) as caught:
        open_provider(machine("nvidia-gpu")).measure_config(CONFIG)
    assert caught.value.check_id == "attester.config.measured"


def test_a_tpm_is_the_same_in_every_process() -> None:
    assert open_provider(machine("tpm2")).scheme == "tpm2"
    assert make_tpm("ecc").ak_name == make_tpm("ecc").ak_name


@pytest.mark.parametrize("name", sorted(_SEVERAL))
def test_bytes_alone_make_no_evidence_of_several_values(name: str) -> None:
    with pytest.raises(ConfigError, match="--nonce"):
        open_provider(machine(name)).collect(BindingDigest(whole=bytes(64), short=bytes(64)))


def command(*words: str) -> tuple[int, dict[str, Any]]:
    done = CliRunner().invoke(cli, ["evidence", "--provider", "simulated", "--format", "json", *words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


@pytest.mark.parametrize("name", NAMES)
def test_the_command_prints_it(name: str) -> None:
    value = bytes(range(64 if SCHEMES[name].binding.size == "whole" else 32))
    code, said = command("--simulated-scheme", name, "--report-data", value.hex())
    if name in _SEVERAL:
        assert (code != 0, "--nonce" in json.dumps(said)) == (True, True)
        return
    assert code == 0
    assert verified(name, said, Bound(BindingDigest(whole=value, short=value))).bound


def test_the_command_measures_a_configuration_for_every_scheme(config: Path) -> None:
    nonce = "A" * 86  # 64 bytes
    for name in NAMES:
        given = hashed(name, config.read_bytes()).hex()
        place = ["--simulated-host-data", given] if given else []
        image = str(config.with_name("image.toml"))
        words = ["--simulated-scheme", name, "--config", str(config), "--image-file", image, "--nonce", nonce]
        code, said = command(*words, *place)
        if name == "nvidia-gpu":
            assert (code != 0, said["check_id"]) == (True, "attester.config.measured")
            continue
        assert code == 0, said
        seen = verified(name, said, UnsafeUnbound())
        (rule,) = (rule for rule in SCHEMES[name].appraisal.rules if rule.scope == "config")
        assert rule.judge(seen, configured(rule.id, config.read_bytes())).ok, name
        if place:
            code, said = command(*words)
            assert (code != 0, said["check_id"]) == (True, "attester.config.measured")


def test_parts_of_components_are_written_too(config: Path, tmp_path: Path) -> None:
    given = hashed("sev-snp-gpu", config.read_bytes()).hex()
    words = ["--simulated-scheme", "sev-snp-gpu", "--simulated-host-data", given, "--config", str(config)]
    words += ["--image-file", str(config.with_name("image.toml"))]
    code, said = command(*words, "--nonce", "A" * 86, "--out-dir", str(tmp_path / "out"))
    assert code == 0
    assert sorted(Path(file).name for file in said["files"]) == sorted(
        [
            *("nvidia_gpu.cert_chain.bin", "nvidia_gpu.spdm_report.bin"),
            *("sev_snp.report.bin", "sev_snp.vcek.bin", "sev_snp.ask.bin"),
        ]
    )
    assert all(Path(file).stat().st_size for file in said["files"])
