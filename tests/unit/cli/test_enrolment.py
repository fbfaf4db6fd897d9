"""``verifier enrolment`` as it is typed: who may enrol, who did, and taking it back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from forge.tpm2 import SimulatedTpm, make_tpm
from tests.support.commands import CommandPlace, command_place
from verifier.cli.enrolment import command
from verifier.core.ports import EnrolledAk
from verifier.formats.encoding import sha256
from verifier.tee.tpm2.layout import name_of

TPM, OTHER = make_tpm(), make_tpm(label="other")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[CommandPlace]:
    with command_place(tmp_path, command) as made:
        yield made


def enrol(place: CommandPlace, tpm: SimulatedTpm = TPM, tenant: str = "default") -> None:
    """Enrol a listed TPM as the service does."""
    place.store.add_eks(tenant, [tpm.ek_digest])
    ak = EnrolledAk(tenant, tpm.ak_name, tpm.ak_public, tpm.ek_digest, name_of(tpm.ek_area), "private", 1_000)
    place.store.enrol_ak(ak, None)


def test_an_ek_is_allowed_by_digest_or_certificate(place: CommandPlace, tmp_path: Path) -> None:
    certificate = tmp_path / "ek.der"
    certificate.write_bytes(OTHER.ek_chain[0])
    arguments = ("allow", "--ek-sha256", TPM.ek_digest.hex(), "--ek-certificate", str(certificate))

    assert place.done(*arguments)["ek_sha256"] == [TPM.ek_digest.hex(), OTHER.ek_digest.hex()]
    assert place.store.is_ek_listed("default", TPM.ek_digest)
    assert place.store.is_ek_listed("default", OTHER.ek_digest)
    assert not place.store.is_ek_listed("acme", TPM.ek_digest)


def test_a_ticket_is_open_for_its_tenant_and_only_its_hash_is_kept(place: CommandPlace, tmp_path: Path) -> None:
    ticket = place.done("ticket", "--tenant", "acme")["ticket"]

    assert place.store.ticket_is_open("acme", sha256(ticket.encode()))
    assert not place.store.ticket_is_open("default", sha256(ticket.encode()))
    place.store.close()
    assert all(ticket.encode() not in file.read_bytes() for file in tmp_path.glob("verifier.db*"))


def test_list_shows_what_is_enrolled_and_what_may(place: CommandPlace) -> None:
    enrol(place)
    enrol(place, OTHER, "acme")
    answer = place.done("list")

    assert answer["enrolled"] == [
        {
            "ak_name": TPM.ak_name.hex(),
            "ek_sha256": TPM.ek_digest.hex(),
            "root": "private",
            "enrolled_at": "1970-01-01T00:00:01Z",
        }
    ]
    assert answer["ek_sha256"] == [TPM.ek_digest.hex()]
    text = place.typed("list", "--tenant", "acme").output
    assert OTHER.ak_name.hex() in text
    assert TPM.ak_name.hex() not in text
    assert "no TPM is enrolled" in place.typed("list", "--tenant", "nobody").output


def test_a_withdrawn_ak_is_unknown_for_its_tenant_alone_and_its_ek_stays_listed(place: CommandPlace) -> None:
    enrol(place)
    enrol(place, tenant="acme")
    result = place.typed("withdraw", "--ak-name", TPM.ak_name.hex())

    assert result.exit_code == 0
    assert "may enrol again" in result.output
    assert place.store.find_ak("default", TPM.ak_name) is None
    assert place.store.is_ek_listed("default", TPM.ek_digest)
    assert place.store.find_ak("acme", TPM.ak_name) is not None


def test_a_withdrawn_ek_takes_its_aks_along_and_may_not_come_back(place: CommandPlace) -> None:
    enrol(place)
    enrol(place, OTHER)
    assert place.done("withdraw", "--ek-sha256", TPM.ek_digest.hex())["outcome"] == "withdrawn"

    assert place.store.find_ak("default", TPM.ak_name) is None
    assert not place.store.is_ek_listed("default", TPM.ek_digest)
    assert place.store.find_ak("default", OTHER.ak_name) is not None


def test_withdrawing_what_is_not_known_is_a_no_and_the_rest_is_done(place: CommandPlace) -> None:
    enrol(place)
    result = place.typed(
        "withdraw", "--ak-name", OTHER.ak_name.hex(), "--ak-name", TPM.ak_name.hex(), "--format", "json"
    )

    assert result.exit_code == 1
    assert json.loads(result.stdout)["unknown"] == [f"AK {OTHER.ak_name.hex()}"]
    assert place.store.find_ak("default", TPM.ak_name) is None


@pytest.mark.parametrize(
    "arguments",
    [
        ["withdraw"],
        ["withdraw", "--ak-name", "000b"],
        ["withdraw", "--ak-name", TPM.ak_name.hex().upper()],
        ["withdraw", "--ak-name", "zz"],
        ["withdraw", "--ek-sha256", "00"],
        ["withdraw", "--tenant", "+", "--ek-sha256", "00" * 32],
        ["list", "--tenant", "Acme"],
        ["allow"],
        ["allow", "--ek-sha256", "AB" * 32],
        ["ticket", "--life-s", "1"],
    ],
)
def test_senseless_options_are_usage_errors(place: CommandPlace, arguments: list[str]) -> None:
    assert place.typed(*arguments).exit_code == 64
