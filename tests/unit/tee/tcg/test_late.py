"""A log is read when a check asks for it, and not before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forge.bootlog import measured_boot
from forge.tpm2 import make_tpm
from tests.support.waiting import assert_linear
from verifier.formats.errors import MalformedEvidence
from verifier.tee.registry import SCHEMES
from verifier.tee.tcg.late import LateLog
from verifier.tee.tcg.layout import EV_IPL, SHA256, SHA384

LOG = measured_boot()


def test_a_log_is_read_once_and_replayed_once() -> None:
    late = LateLog(LOG.to_bytes(), "tpm2.decode.eventlog", SHA256)
    assert late.read() is late.read()
    assert late.replayed() is late.replayed()
    assert {pcr: late.replayed()[pcr] for pcr in LOG.registers()} == LOG.registers()


def test_a_bank_that_the_log_has_not_gives_nothing() -> None:
    assert LateLog(LOG.to_bytes(), "tpm2.decode.eventlog", SHA384).replayed() == {}


@pytest.mark.parametrize("raw", [b"", bytes(1024 * 1024 + 1)], ids=["none", "more than 1 MiB"])
def test_a_size_that_no_log_has_is_refused_at_once(raw: bytes) -> None:
    with pytest.raises(MalformedEvidence) as caught:
        LateLog(raw, "tpm2.decode.eventlog", SHA256)
    assert caught.value.check_id == "tpm2.decode.eventlog"


def test_a_scheme_decodes_without_reading_the_log() -> None:
    """The log is noise: `decode` takes it, and whoever asks for the log hears that it cannot be read."""
    tpm = replace(make_tpm().booted(LOG), event_log=b"\xa5" * 4096)
    evidence = SCHEMES["tpm2"].form.decode(tpm.parts(bytes(32), range(24)))
    with pytest.raises(MalformedEvidence) as caught:
        _ = evidence.log
    assert caught.value.check_id == "tpm2.decode.eventlog"


def test_reading_and_replaying_cost_as_much_as_there_are_events() -> None:
    event = measured_boot().add(14, EV_IPL, b"x").events[-1]

    def run(events: int) -> None:
        LateLog(LOG.to_bytes() + event * events, "tpm2.decode.eventlog", SHA256).replayed()

    assert_linear(run, 1_000)
