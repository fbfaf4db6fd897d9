"""Issue 4, must-show 4: fifty attesters of one new chip come at once while AMD says 429. One call at a time, everybody verified."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from forge.sev_snp import ForgedAmd
from tests.support.first_contacts import at_once, attest, metric, settings_for, wait_for_fetcher, without_crl
from tests.support.live import LiveVerifier, live_verifier
from tests.support.vendor_servers import throttled, vendor_server
from tests.support.waiting import wait_for
from tools.demo.forged import forged_chip
from verifier.formats.errors import CannotDecide

ATTESTERS = 50


def test_fifty_first_contacts_of_one_new_chip_make_one_call_at_a_time_and_are_all_verified(tmp_path: Path) -> None:
    chip = forged_chip(b"a new chip")
    with vendor_server(tmp_path / "kds", chip) as kds:
        kds.faults = [throttled("2"), throttled("1")]
        kds.delay_s = 0.1
        with live_verifier(tmp_path, settings_for(kds)) as live:
            without_crl(live)
            refused = at_once(ATTESTERS, lambda: attest(live, chip))

            assert not refused
            assert kds.most_at_once == 1
            # Chain, CRL and the chip's certificate once each, and the two that were told to come again.
            assert len(kds.calls) == 5
            assert len(set(kds.counts())) == 3
            records = live.records()
            assert [record.outcome for record in records] == ["accepted"] * ATTESTERS
            assert metric(live, "vab_collateral_fetches_total", kind="sev-snp.vcek", outcome="stored") == 1
            assert metric(live, "vab_collateral_fetches_total", outcome="throttled") >= 1
            assert metric(live, "vab_refusals_total", outcome="rejected") == 0
            waits = sorted(call.begun for call in kds.calls)
            # It was left alone for as long as it asked.
            assert waits[1] - waits[0] >= 2.0
            assert waits[2] - waits[1] >= 1.0


def test_a_restart_keeps_the_cache_and_a_vendor_that_is_down_changes_nothing(tmp_path: Path) -> None:
    chip = forged_chip(b"kept")
    with vendor_server(tmp_path / "kds", chip) as kds, live_verifier(tmp_path, settings_for(kds)) as live:
        without_crl(live)
        attest(live, chip)
        assert len(kds.calls) == 3

        live.kill()
        kds.always = throttled("", status=503)
        live.start()
        attest(live, chip, wait_s=0)

        assert len(kds.calls) == 3


def _turned_away(live: LiveVerifier, chip: ForgedAmd) -> str:
    """Attest once; return the id of the no, "" where a busy machine left the fetcher without an answer: then ask again."""
    with pytest.raises(CannotDecide) as caught:
        attest(live, chip, wait_s=0)
    return "" if caught.value.check_id == "service.collateral.fetcher" else caught.value.check_id


def test_who_is_unknown_cannot_starve_a_listed_chip(tmp_path: Path) -> None:
    """Strangers fill the open lane with chips that do not exist; the fleet's own new chip is fetched next."""
    chip = forged_chip(b"of the fleet")
    documents = tmp_path / "verifier" / "trust" / "listed.yaml"
    documents.parent.mkdir(parents=True)
    documents.write_text(
        "document: identity\nkind: platform\nscheme: sev-snp\nname: listed\ntenant: default\nversion: 1\n"
        f"origin: this test\nvalues:\n  chip_allow: ['{chip.hwid.hex()}']\n",
        encoding="utf-8",
    )
    with vendor_server(tmp_path / "kds", chip) as kds:
        settings = settings_for(kds, collateral_queue=8, kds_interval_s=0.2)
        with live_verifier(tmp_path, settings) as live:
            wait_for_fetcher(live)
            kds.delay_s = 0.3
            strangers_chips = [forged_chip(b"stranger %d" % number) for number in range(30)]
            codes = [wait_for(partial(_turned_away, live, one)) for one in strangers_chips]
            assert set(codes) <= {
                "sev-snp.endorsement.vcek", "service.collateral.quota", "service.collateral.queue",
            }  # fmt: skip
            assert "service.collateral.quota" in codes

            attest(live, chip)
            strangers = sum(1 for call in kds.calls if call.path.startswith("/vcek/v1/Milan/") and "SPL" in call.path)
            assert strangers < 12
            assert metric(live, "vab_collateral_refused_total", check_id="service.collateral.quota") > 0
