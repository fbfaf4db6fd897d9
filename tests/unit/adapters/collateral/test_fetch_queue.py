"""The queue: bounded whatever comes, fair to whom it knows, and quiet towards a vendor that asks for quiet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verifier.adapters.collateral.fetch_queue import ABANDONED_S, FetchQueue, Limits
from verifier.adapters.collateral.items import Item, item
from verifier.core.ids import ServiceId
from verifier.formats.addresses import client_of

ASK = "sev-snp.ask"
SNP_CRL = "sev-snp.crl"
TCB_INFO = "intel.tcb-info"
VCEK = "sev-snp.vcek"
LISTED = f"{0xFEED:0128x}"


def vcek(number: int, *, chip: str = "", tcb: int = 1) -> Item:
    made = item(VCEK, f"Milan-{chip or f'{number + 1:0128x}'}-{tcb:016x}")
    assert made is not None
    return made


def other(kind: str, key: str) -> Item:
    made = item(kind, key)
    assert made is not None
    return made


def queue(**limits: int) -> FetchQueue:
    return FetchQueue(Limits(**limits), {"amd": 1.0}, listed=frozenset({LISTED}))


def test_asking_twice_takes_one_place_and_makes_one_call() -> None:
    wants = queue()
    for _ in range(50):
        assert wants.ask(vcek(1), "default", "192.0.2.1", 0.0).check_id == ""

    assert wants.waiting()["amd", "open"] == 1
    taken = wants.take("amd", 0.0)
    assert taken is not None
    assert taken.item == vcek(1)
    assert wants.take("amd", 0.0) is None


def test_what_every_chip_needs_goes_first_then_listed_chips_then_strangers() -> None:
    wants = queue()
    for one in (vcek(1), vcek(0, chip=LISTED), other(SNP_CRL, "Milan")):
        wants.ask(one, "default", "", 0.0)

    order = []
    while (want := wants.take("amd", 0.0)) is not None:
        order.append(want.lane)
        wants.done(want.item)
    assert order == ["shared", "listed", "open"]


def test_a_source_address_has_a_share_of_the_places_and_a_quota_an_hour() -> None:
    wants = queue(places=40, per_source=15, per_tenant=1000)
    replies = [wants.ask(vcek(number), "default", "192.0.2.1", 0.0) for number in range(12)]
    assert [reply.check_id for reply in replies] == [""] * 10 + [ServiceId.QUOTA] * 2
    assert wants.ask(vcek(100), "default", "192.0.2.2", 0.0).check_id == ""

    for number in range(10):
        wants.done(vcek(number))
    replies = [wants.ask(vcek(20 + number), "default", "192.0.2.1", 0.0) for number in range(6)]
    assert [reply.check_id for reply in replies] == [""] * 5 + [ServiceId.QUOTA]
    assert replies[-1].retry_after > 60
    assert wants.ask(vcek(90), "default", "192.0.2.1", 240.0).check_id == ""


def test_a_tenant_cannot_take_more_than_half_of_the_places() -> None:
    wants = queue(places=20, per_source=1000)
    replies = [wants.ask(vcek(number), "acme", f"192.0.2.{number}", 0.0) for number in range(12)]

    assert [reply.check_id for reply in replies] == [""] * 10 + [ServiceId.QUOTA] * 2
    assert wants.ask(vcek(50), "default", "192.0.2.99", 0.0).check_id == ""


def test_a_full_queue_says_so_and_a_listed_chip_still_has_its_place() -> None:
    wants = queue(places=10)
    replies = [wants.ask(vcek(n), f"tenant{n}", f"192.0.2.{n}", 0.0) for n in range(11)]

    assert replies[-1].check_id == ServiceId.QUEUE
    assert wants.ask(vcek(0, chip=LISTED), "default", "192.0.2.1", 0.0).check_id == ""
    want = wants.take("amd", 0.0)
    assert want is not None
    assert want.item.chip == LISTED


def test_made_up_tcbs_of_a_listed_chip_end_in_the_open_lane() -> None:
    """Anybody can claim a listed chip with any TCB: its budget ends, and what is over is a stranger's."""
    wants = queue(places=100)
    for tcb in range(20):
        wants.ask(vcek(0, chip=LISTED, tcb=tcb), "default", "192.0.2.1", 0.0)

    assert wants.waiting()["amd", "listed"] == 8
    assert wants.waiting()["amd", "open"] == 12


def test_what_does_not_exist_is_not_asked_for_again_for_a_while() -> None:
    wants = queue()
    wants.ask(vcek(1), "default", "", 0.0)
    wants.absent(vcek(1), "status 404", 1.0)

    reply = wants.ask(vcek(1), "default", "", 2.0)
    assert (reply.check_id, reply.retry_after) == ("", 899)
    assert "404" in reply.detail
    assert wants.take("amd", 2.0) is None
    wants.ask(vcek(1), "default", "", 902.0)
    assert wants.take("amd", 902.0) is not None


def test_a_failure_is_tried_again_later_and_later_and_forgotten_when_it_comes() -> None:
    wants, now, waits = queue(), 0.0, []
    for _ in range(12):
        wants.ask(vcek(1), "default", "", now)
        wants.failed(vcek(1), "timeout", now)
        waits.append(wants.ask(vcek(1), "default", "", now).retry_after)
        now += waits[-1] + 1
    assert waits[:5] == [2, 4, 8, 16, 32]
    assert max(waits) == 600

    wants.ask(vcek(1), "default", "", now)
    wants.done(vcek(1))
    wants.ask(vcek(1), "default", "", now)
    wants.failed(vcek(1), "timeout", now)
    assert wants.ask(vcek(1), "default", "", now).retry_after == 2


def test_a_vendor_that_asks_for_patience_gets_it_and_nobody_loses_a_place() -> None:
    wants = queue()
    wants.ask(vcek(1), "default", "", 0.0)
    assert wants.take("amd", 0.0) is not None
    wants.put_back(vcek(1), 30.0, 0.0)

    assert wants.take("amd", 29.9) is None
    assert wants.ask(vcek(1), "default", "", 10.0).retry_after >= 20
    assert wants.take("amd", 30.0) is not None


def test_what_nobody_waits_for_any_more_is_dropped() -> None:
    wants = queue()
    wants.ask(vcek(1), "default", "", 0.0)

    assert wants.take("amd", ABANDONED_S + 1) is None
    assert wants.waiting()["amd", "open"] == 0


def test_who_comes_later_is_told_to_wait_longer() -> None:
    wants = queue()
    waits = [wants.ask(vcek(n), f"t{n}", f"192.0.2.{n}", 0.0).retry_after for n in range(10)]

    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert wants.ask(other(ASK, "Milan-vcek"), "t", "", 0.0).retry_after == waits[0]


def test_a_vendor_without_an_endpoint_is_never_asked() -> None:
    reply = queue().ask(other(TCB_INFO, "tdx-00806F050000"), "default", "", 0.0)

    assert not reply.known


def test_renewing_costs_no_quota_and_waits_after_a_failure() -> None:
    wants = queue(per_source=1)
    assert wants.refresh(other(SNP_CRL, "Milan"), 0.0)
    assert not wants.refresh(other(SNP_CRL, "Milan"), 0.0)
    wants.failed(other(SNP_CRL, "Milan"), "timeout", 0.0)

    assert not wants.refresh(other(SNP_CRL, "Milan"), 1.0)
    assert wants.refresh(other(SNP_CRL, "Milan"), 3.0)


@pytest.mark.parametrize(
    ("source", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", ""),
        ("x" * 500, "x" * 64),
    ],
)
def test_addresses_are_counted_as_their_owner_has_them(source: str, counted: str) -> None:
    assert client_of(source) == counted


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "listed", "shared", "take", "done", "absent", "failed", "back"]),
        st.integers(0, 400),
        st.floats(0.0, 400.0),
    ),
    max_size=300,
)


@given(_STEPS)
def test_whatever_comes_no_lane_outgrows_its_places_and_one_vendor_has_one_call(
    steps: list[tuple[str, int, float]],
) -> None:
    wants, now, running = queue(places=10, per_source=50), 0.0, None
    for what, number, wait in steps:
        now += wait
        if what == "ask":
            wants.ask(vcek(number), f"t{number % 3}", f"192.0.2.{number % 5}", now)
        elif what == "listed":
            wants.ask(vcek(0, chip=LISTED, tcb=number), "default", "192.0.2.1", now)
        elif what == "shared":
            wants.ask(other(ASK, "Genoa-vlek"), "default", "", now)
        elif what == "take" and running is None:
            running = wants.take("amd", now)
        elif running is not None:
            if what == "done":
                wants.done(running.item)
            elif what == "absent":
                wants.absent(running.item, "404", now)
            elif what == "failed":
                wants.failed(running.item, "x", now)
            else:
                wants.put_back(running.item, 1.0, now)
            running = None
        counts = wants.waiting()
        assert counts["amd", "open"] <= 10
        assert counts["amd", "listed"] <= 10
        assert counts["amd", "shared"] <= 12


FLEET = frozenset(f"{number:0128x}" for number in range(1, 200))


def fleet_queue(**limits: int) -> FetchQueue:
    return FetchQueue(Limits(**limits), {"amd": 1.0}, listed=FLEET)


def of_fleet(number: int) -> Item:
    return vcek(0, chip=f"{number:0128x}", tcb=number)


def test_who_knows_many_listed_ids_cannot_fill_the_listed_lane() -> None:
    """Made-up TCBs of a hundred listed chips, from one address; then a machine of the fleet comes from another."""
    wants = fleet_queue(places=10)
    replies = [wants.ask(of_fleet(number), "default", "192.0.2.66", 0.0) for number in range(1, 101)]
    assert [reply.check_id for reply in replies[:11]] == [""] * 10 + [ServiceId.QUEUE]

    for number in range(101, 106):
        assert wants.ask(of_fleet(number), "default", "192.0.2.1", 0.0).check_id == ""
    # Both have as many: nobody is turned out any more, whoever asks.
    assert wants.ask(of_fleet(106), "default", "192.0.2.1", 0.0).check_id == ServiceId.QUEUE
    assert wants.ask(of_fleet(7), "default", "192.0.2.66", 0.0).check_id == ServiceId.QUEUE
    assert wants.waiting()["amd", "listed"] == 10


def test_sources_of_listed_chips_take_turns() -> None:
    wants = fleet_queue(places=20)
    for number in range(1, 11):
        wants.ask(of_fleet(number), "default", "192.0.2.66", 0.0)
    for number in (101, 102):
        wants.ask(of_fleet(number), "default", "192.0.2.1", 1.0)

    order = []
    for moment in range(5):
        want = wants.take("amd", 10.0 + moment)
        assert want is not None
        order.append(want.source[-2:])
        wants.done(want.item)
    assert order == ["66", ".1", "66", ".1", "66"]


def test_what_is_being_fetched_is_never_given_up() -> None:
    wants = fleet_queue(places=2)
    for number in (1, 2):
        wants.ask(of_fleet(number), "default", "192.0.2.66", 0.0)
    running = wants.take("amd", 0.0)
    assert running is not None
    wants.ask(of_fleet(3), "default", "192.0.2.1", 0.0)
    assert wants.ask(running.item, "default", "192.0.2.66", 0.0).detail == "it is being fetched"
