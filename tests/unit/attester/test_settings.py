"""What the attester is told: nothing unknown, nothing left out, and from outside nothing that its digest does not cover."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from attester.settings import machine_from, parse_config, parse_pcrs, read_config, trust_from
from tests.support.signing import new_key
from verifier.formats.errors import ConfigError

ROOT = dict(new_key().public_jwk)


def document(**changes: Any) -> dict[str, dict[str, Any]]:
    """Return a good configuration, with ``section__key`` replaced, or left out where the value is ``None``."""
    sections: dict[str, dict[str, Any]] = {
        "verifier": {
            "url": "https://verifier.example:8443",
            "issuer": "https://verifier.example:8443/t/default",
            "ca": "PEM",
            "root": dict(ROOT),
            "root_lowest_seq": 1,
        },
        "workload": {"tenant": "default", "name": "web", "audience": "vault/jwt-default"},
    }
    for path, value in changes.items():
        section, _, key = path.partition("__")
        if value is None:
            del sections[section][key]
        else:
            sections[section][key] = value
    return sections


def test_a_good_configuration_is_read() -> None:
    trust = trust_from(document(), "file")
    assert (trust.tenant, trust.workload, trust.root_lowest_seq) == ("default", "web", 1)


@pytest.mark.parametrize(
    "path",
    [
        "verifier__url",
        "verifier__issuer",
        "verifier__ca",
        "verifier__root",
        "verifier__root_lowest_seq",
        "workload__tenant",
        "workload__name",
        "workload__audience",
    ],
)
def test_nothing_may_be_left_out(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trust_from(document(**{path: None}), "file")
    assert caught.value.key == path.replace("__", ".")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("verifier__url", "http://verifier.example"),
        ("verifier__url", "https://verifier.example/"),
        ("verifier__url", "https://verifier.example?x=1"),
        ("verifier__issuer", "https://verifier.example/t/default/"),
        ("verifier__ca", ""),
        ("verifier__root", {**ROOT, "d": "private"}),
        ("verifier__root", {**ROOT, "x": ROOT["y"]}),
        ("verifier__root_lowest_seq", -1),
        ("verifier__root_lowest_seq", True),
        ("verifier__root_lowest_seq", "1"),
        ("workload__tenant", "Default"),
        ("workload__name", "+"),
        ("workload__name", "a/b"),
        ("workload__audience", ""),
        ("workload__audience", "x" * 513),
        ("verifier__unknown", "x"),
        ("workload__unknown", "x"),
    ],
)
def test_a_wrong_value_is_refused_by_its_key(path: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        trust_from(document(**{path: value}), "file")
    assert caught.value.key == path.replace("__", ".")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('version = 1\n[machine]\nprovider = "simulated"\n', "machine"),
        ('version = 1\n[machine]\ntcti = "swtpm:host=evil"\n', "machine"),
        ('version = 1\n[verifier]\nca_file = "/ca.pem"\n', "verifier.ca_file"),
        ('version = 1\n[verifier]\nroot_file = "/root.json"\n', "verifier.root_file"),
        ("version = 2\n", "version"),
        ("[verifier]\n", "version"),
        ("version = 1\n[other]\n", "other"),
        ("version = 1\nverifier = 3\n", "verifier"),
        ("version = \n", "document"),
    ],
)
def test_an_outside_configuration_holds_nothing_that_its_digest_does_not_cover(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text.encode(), "file", in_image=False)
    assert caught.value.key == key


def test_a_configuration_of_the_image_may_name_files_and_the_machine(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("PEM")
    (tmp_path / "root.json").write_text(json.dumps(ROOT))
    files = f'ca_file = "{tmp_path}/ca.pem"\nroot_file = "{tmp_path}/root.json"\n'
    text = f'version = 1\n[verifier]\n{files}[machine]\nprovider = "tpm2"\n'
    parsed = parse_config(text.encode(), "file", in_image=True)
    good = document(verifier__ca=None, verifier__root=None)
    good["verifier"] |= parsed["verifier"]
    trust = trust_from(good, "file")
    assert (trust.ca, trust.root) == ("PEM", ROOT)
    assert machine_from(parsed["machine"], "file").provider == "tpm2"


def test_bytes_that_are_no_text_and_files_that_are_no_configuration_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        parse_config(b"\xff\xfe", "file", in_image=False)
    (tmp_path / "huge").write_bytes(b"#" * (256 * 1024 + 1))
    for name in ("huge", "absent"):
        with pytest.raises(ConfigError):
            read_config(tmp_path / name)


def test_pcrs_are_read_as_numbers_and_ranges() -> None:
    assert parse_pcrs("0-2,7,2") == (0, 1, 2, 7)
    for wrong in ("", "a", "1-", "24", "0-99999999999", "3-1", "-1"):
        with pytest.raises(ConfigError):
            parse_pcrs(wrong)


@pytest.mark.parametrize(
    "values",
    [
        {"config_pcr": 16},
        {"config_pcr": 23},
        {"config_pcr": 24},
        {"config_pcr": True},
        {"ak_kind": "dsa"},
        {"simulated_scheme": "toaster"},
        {"simulated_scheme": "tdx", "simulated_host_data": "00" * 32},
        {"simulated_scheme": "sgx", "simulated_host_data": "00" * 48},
        {"simulated_scheme": "aws-nitro", "simulated_host_data": "00" * 48},
        {"simulated_host_data": "00"},
        {"simulated_host_data": "zz"},
        {"unknown": 1},
        {"tcti": 5},
    ],
)
def test_a_wrong_machine_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        machine_from(values, "file")
