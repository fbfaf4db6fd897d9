"""Linux's report interface, on a mounted stand-in that behaves as the kernel does."""

from __future__ import annotations

import errno
import hashlib
import os
import time
import uuid
from pathlib import Path

import pytest

from attester.providers import Machine, detect, opened
from attester.providers.certificate_table import decode_certificate_table
from attester.providers.configfs_tsm import ConfigfsTsm, _td_field, open_provider
from forge.intel import ForgedIntel
from forge.intel_quote import Shape
from forge.sev_snp import ForgedAmd
from tests.support.configfs_tsm import StandIn
from verifier.core.binding import BindingDigest
from verifier.formats.errors import CannotDecide, EvidenceRejected, MalformedEvidence

DIGEST = BindingDigest(whole=bytes(range(64)), short=bytes(32))
VCEK, VLEK, ASK, ARK = (
    "63da758d-e664-4564-adc5-f4b93be8accd",
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae",
)


def machine(stand_in: StandIn, **changes: object) -> Machine:
    return Machine(provider="configfs-tsm", configfs=str(stand_in.report), **changes)  # type: ignore[arg-type]


def table(*entries: tuple[str, bytes], mixed_endian: bool = True, end: bool = True) -> bytes:
    """Write a certificate table as hosts do."""
    head, body, start = b"", b"", 24 * (len(entries) + end)
    for guid, content in entries:
        raw = uuid.UUID(guid).bytes_le if mixed_endian else uuid.UUID(guid).bytes
        head += raw + (start + len(body)).to_bytes(4, "little") + len(content).to_bytes(4, "little")
        body += content
    return head + bytes(24 * end) + body


# The stand-in itself: what the kernel does and a plain folder does not.


def test_a_report_without_inblob_is_einval(stand_in: StandIn) -> None:
    entry = stand_in.report / "bare"
    entry.mkdir()
    try:
        for name in ("outblob", "auxblob"):
            with pytest.raises(OSError, match="Invalid argument") as caught:
                (entry / name).read_bytes()
            assert caught.value.errno == errno.EINVAL
        assert (entry / "generation").read_text() == "0\n"
    finally:
        entry.rmdir()


def test_inblob_is_taken_at_close_up_to_64_bytes_and_counted(stand_in: StandIn) -> None:
    entry = stand_in.report / "count"
    entry.mkdir()
    try:
        fd = os.open(entry / "inblob", os.O_WRONLY)
        with pytest.raises(OSError, match="too large") as caught:
            os.write(fd, bytes(65))
        assert caught.value.errno == errno.EFBIG
        os.write(fd, bytes(63))
        assert (entry / "generation").read_text() == "0\n"
        os.close(fd)
        assert (entry / "generation").read_text() == "1\n"
        with pytest.raises(OSError, match="Invalid argument"):
            (entry / "outblob").read_bytes()
    finally:
        entry.rmdir()


def test_nothing_else_can_be_made_there(stand_in: StandIn) -> None:
    with pytest.raises(PermissionError):
        (stand_in.root / "tsm" / "other").mkdir()
    with pytest.raises(PermissionError):
        (stand_in.report / "file").write_text("x")


# The provider.


def test_a_report_carries_the_digest_and_the_entry_is_removed(stand_in: StandIn) -> None:
    with opened(machine(stand_in)) as provider:
        assert provider.scheme == "sev-snp"
        envelope = provider.collect(DIGEST)
    assert envelope.parts["report"][0x50:0x90] == DIGEST.whole
    assert envelope.endorsements == {}
    state = stand_in.state()
    assert state["entries"] == []
    assert state["log"] == [DIGEST.whole.hex()]


def test_the_hosts_certificates_become_endorsements(stand_in: StandIn) -> None:
    chip = ForgedAmd("Milan", now=int(time.time()))
    certificates = chip.endorsements() | {"ark": chip.ark()}
    blob = table((VCEK, certificates["vcek"]), (ASK, certificates["ask"]), (ARK, certificates["ark"]))
    stand_in.tell(auxblob=blob.hex())
    with opened(machine(stand_in)) as provider:
        assert provider.collect(DIGEST).endorsements == certificates


@pytest.mark.parametrize("trouble", ["busy", "foreign", "stale"])
def test_what_passes_is_tried_again_with_a_new_entry(stand_in: StandIn, trouble: str) -> None:
    """``foreign``: somebody else wrote to our entry; ``stale``: the report carries his data, whatever the count says."""
    stand_in.tell(**{trouble: 2})
    with opened(machine(stand_in)) as provider:
        assert provider.collect(DIGEST).parts["report"][0x50:0x90] == DIGEST.whole
    state = stand_in.state()
    assert state["log"] == [DIGEST.whole.hex()] * 3
    assert state["entries"] == []


@pytest.mark.parametrize(("trouble", "words"), [("busy", "busy"), ("foreign", "generation"), ("stale", "REPORT_DATA")])
def test_what_does_not_pass_is_given_up_and_named(
    stand_in: StandIn, trouble: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attester.providers.configfs_tsm._PAUSE_S", 0.001)
    stand_in.tell(**{trouble: 1000})
    with opened(machine(stand_in)) as provider, pytest.raises(CannotDecide) as caught:
        provider.collect(DIGEST)
    assert caught.value.check_id == "attester.configfs.busy"
    assert words in caught.value.detail
    assert stand_in.state()["entries"] == []


def test_a_write_that_the_kernel_lost_is_noticed(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a write at close never reaches us: only the count shows it."""
    monkeypatch.setattr("attester.providers.configfs_tsm._PAUSE_S", 0.001)
    stand_in.tell(lost=2)
    with opened(machine(stand_in)) as provider:
        assert provider.collect(DIGEST).parts["report"][0x50:0x90] == DIGEST.whole
    assert len(stand_in.state()["log"]) == 1


def test_the_privilege_level_is_asked_for_and_counts_as_a_write(stand_in: StandIn) -> None:
    with opened(machine(stand_in, privlevel=2)) as provider:
        assert provider.collect(DIGEST).parts["report"][0x30] == 2
    with opened(machine(stand_in, privlevel=9)) as provider, pytest.raises(CannotDecide) as caught:
        provider.collect(DIGEST)
    assert caught.value.check_id == "attester.configfs.refused"


def test_the_configuration_is_compared_with_host_data(stand_in: StandIn) -> None:
    config = b"version = 1\n"
    stand_in.tell(host_data=hashlib.sha256(config).hexdigest())
    with opened(machine(stand_in)) as provider:
        provider.measure_config(config)
        with pytest.raises(EvidenceRejected) as caught:
            provider.measure_config(config + b"\n")
    assert caught.value.check_id == "attester.config.measured"


@pytest.mark.parametrize("version", [4, 5])
def test_tdx_hands_over_the_quote_and_compares_with_mrconfigid(stand_in: StandIn, tmp_path: Path, version: int) -> None:
    config = b"version = 1\n"
    stand_in.tell(
        provider="tdx_guest", quote_version=version, mrconfigid=hashlib.sha384(config).hexdigest(), busy=1, stale=1
    )
    with opened(machine(stand_in, cc_event_log=str(tmp_path / "none"))) as provider:
        assert (provider.scheme, provider.size) == ("tdx", "whole")
        envelope = provider.collect(DIGEST)
        assert set(envelope.parts) == {"quote"}
        start = 48 if version == 4 else 54
        assert envelope.parts["quote"][start + 520 : start + 584] == DIGEST.whole
        assert envelope.endorsements == {}
        assert stand_in.state()["log"] == [DIGEST.whole.hex()] * 3  # busy, somebody else's, ours
        provider.measure_config(config)
        with pytest.raises(EvidenceRejected) as caught:
            provider.measure_config(config + b"\n")
    assert caught.value.check_id == "attester.config.measured"
    assert "MRCONFIGID" in caught.value.detail
    assert stand_in.state()["entries"] == []


def test_a_forged_platforms_quote_is_read_by_the_same_places() -> None:
    """The stand-in's quote and the provider's offsets could be wrong alike: Intel's tables say them once more."""
    intel = ForgedIntel(now=int(time.time()))
    config = hashlib.sha384(b"configuration").digest()
    for shape in (Shape(version=4), Shape(version=5), Shape(version=5, body_type=3), Shape(version=5, body_type=4)):
        quote = intel.quote("tdx", report_data=DIGEST.whole, shape=shape, mrconfigid=config)
        assert _td_field(quote, "report_data") == DIGEST.whole
        assert _td_field(quote, "mrconfigid") == config


@pytest.mark.parametrize("version", [0, 3, 6])
def test_what_is_no_whole_quote_of_a_trust_domain_is_refused(stand_in: StandIn, version: int) -> None:
    stand_in.tell(provider="tdx_guest", quote_version=version)
    with opened(machine(stand_in)) as provider:
        for ask in (lambda: provider.collect(DIGEST), lambda: provider.measure_config(b"")):
            with pytest.raises(CannotDecide) as caught:
                ask()
            assert caught.value.check_id == "attester.configfs.report"


def test_a_trust_domains_boot_log_goes_beside_the_quote(stand_in: StandIn, tmp_path: Path) -> None:
    stand_in.tell(provider="tdx_guest")
    log = tmp_path / "CCEL"
    here = machine(stand_in, cc_event_log=str(log))
    for content in (b"log", bytes(1024 * 1024)):
        log.write_bytes(content)
        with opened(here) as provider:
            assert provider.collect(DIGEST).parts["eventlog"] == content
    with opened(machine(stand_in, cc_event_log="")) as provider:
        assert set(provider.collect(DIGEST).parts) == {"quote"}
    log.write_bytes(bytes(1024 * 1024 + 1))
    for place in (log, tmp_path):  # too long, and no file
        with opened(machine(stand_in, cc_event_log=str(place))) as provider, pytest.raises(CannotDecide) as caught:
            provider.collect(DIGEST)
        assert caught.value.check_id == "attester.configfs.eventlog"


def test_an_snp_guest_sends_no_boot_log(stand_in: StandIn, tmp_path: Path) -> None:
    log = tmp_path / "CCEL"
    log.write_bytes(b"log")
    with opened(machine(stand_in, cc_event_log=str(log))) as provider:
        assert set(provider.collect(DIGEST).parts) == {"report"}


@pytest.mark.parametrize(
    ("provider", "check_id"), [("", "attester.configfs.entry"), ("other_guest", "attester.configfs.provider")]
)
def test_a_machine_without_a_known_driver_is_named(stand_in: StandIn, provider: str, check_id: str) -> None:
    stand_in.tell(provider=provider)
    with pytest.raises(CannotDecide) as caught:
        open_provider(machine(stand_in))
    assert caught.value.check_id == check_id


def test_detection_prefers_the_cpu_and_never_forges(stand_in: StandIn, tmp_path: Path) -> None:
    here = Machine(configfs=str(stand_in.report), tcti="swtpm:port=1")
    assert detect(here) == "configfs-tsm"
    assert detect(Machine(configfs=str(tmp_path / "no"), tcti="swtpm:port=1")) == "tpm2"
    with pytest.raises(CannotDecide) as caught:
        detect(Machine(configfs=str(tmp_path / "no"), tcti=f"device:{tmp_path}/no"))
    assert caught.value.check_id == "attester.provider.absent"


def test_a_digest_of_another_size_is_never_cut_or_padded(stand_in: StandIn) -> None:
    provider = ConfigfsTsm(machine(stand_in))
    for size in (0, 32, 63, 65):
        with pytest.raises(ValueError, match="64"):
            provider.collect(BindingDigest(whole=bytes(size), short=bytes(32)))


# The certificate table.


@pytest.mark.parametrize("mixed_endian", [True, False])
def test_both_byte_orders_of_a_guid_are_read(mixed_endian: bool) -> None:  # noqa: FBT001
    other = "00000000-0000-4000-8000-000000000001"
    made = table((VLEK, b"v"), (other, b"ignored"), (ASK, b"as"), mixed_endian=mixed_endian)
    assert decode_certificate_table(made) == {"vlek": b"v", "ask": b"as"}


def test_an_empty_table_has_no_certificates() -> None:
    assert decode_certificate_table(b"") == {}
    assert decode_certificate_table(bytes(24)) == {}


def _entry(guid: str, offset: int, length: int) -> bytes:
    return uuid.UUID(guid).bytes_le + offset.to_bytes(4, "little") + length.to_bytes(4, "little")


@pytest.mark.parametrize(
    "made",
    [
        bytes(23),
        table((VCEK, b"v"), end=False),
        _entry(VCEK, 48, 2) + bytes(24) + b"v",
        _entry(VCEK, 0, 4) + bytes(24) + b"v",
        _entry(VCEK, 48, 0) + bytes(24) + b"v",
        _entry(VCEK, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(24),
        table((VCEK, b"a"), (VCEK, b"b")),
        table(*[("00000000-0000-4000-8000-000000000001", b"")] * 40),
    ],
)
def test_a_broken_table_is_malformed_and_nothing_else(made: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        decode_certificate_table(made)
    assert caught.value.check_id == "attester.configfs.auxblob"


def test_every_truncation_is_read_or_malformed() -> None:
    whole = table((VCEK, b"vcek"), (ASK, b"ask"))
    for size in range(1, len(whole)):
        with pytest.raises(MalformedEvidence):
            decode_certificate_table(whole[:size])
