"""``verifier store accept-clock``: an operator's word that the clock is right, as a record of the chain."""

from __future__ import annotations

import getpass
import secrets
import socket
from dataclasses import replace

import click

from verifier.adapters.clock import SystemClock
from verifier.adapters.settings_source import load_settings
from verifier.cli.opened import CONFIG_OPTION, opened_store, set_mark
from verifier.compose import mark_file, open_keys
from verifier.core.binding import NONCE_SIZE
from verifier.core.console import Answer, answers
from verifier.core.ids import ServiceId
from verifier.core.ports import NO_ATTESTATION, VerdictRecord
from verifier.core.timekeeping import StoreTimes
from verifier.formats.encoding import utc_time


@click.command("accept-clock")
@CONFIG_OPTION
@click.option("--reason", required=True, help="Why: it stands in the record. Example: NTP was off until 14:20.")
@answers
def accept_clock(config: str | None, reason: str) -> Answer:
    """Say that this machine's clock is right now.

    For two cases of service.clock. A clock that was ahead has left times in the store that are yet to come, and logins would be
    refused until then. Or the clock rightly jumped ahead, and the verifier waits before it purges and rotates again.

    From now on the store remembers this machine's time alone. Who said so, and why, becomes a record of the chain. Every open
    challenge is void; attesters ask again by themselves. Look at the clock first: on SQLite nothing else does.

    Exit code 3: the database's clock is another. Set the one that is wrong.
    """
    settings = load_settings(config)
    file = mark_file(settings, open_keys(settings))
    with opened_store(config) as store:
        store.check_mark(file.read())
        times = store.times()
        epoch = store.raise_epoch(reason)
        now_ms, who = SystemClock().now_ms(), f"{getpass.getuser()}@{socket.gethostname()}"
        after = store.accept_clock(_word(reason, who, now_ms, times))
        set_mark(file, store.mark())
    was = {"record": _moment(times.record_ms), "kept": _moment(times.kept_ms)}
    text = f"record {after.seq}: {who} accepts the clock, {_moment(now_ms)}. The store had {was['record']} as the time of its newest"
    return Answer(
        {"outcome": "accepted", "seq": after.seq, "time": _moment(now_ms), "was": was, "by": who, "epoch": epoch},
        f"{text} record, and {was['kept']} as the time that was believed last. Challenges are void (epoch {epoch}).",
    )


def _word(reason: str, who: str, now_ms: int, times: StoreTimes) -> VerdictRecord:
    """Return an operator's word as a record: no tenant, no evidence, no token."""
    return replace(
        NO_ATTESTATION,
        outcome="clock-accepted",
        check_id=ServiceId.CLOCK,
        nonce=secrets.token_bytes(NONCE_SIZE),
        nonce_expires_ms=now_ms,
        now_ms=now_ms,
        findings=(
            {
                "rule": ServiceId.CLOCK,
                "ok": True,
                "expected": {"time": _moment(now_ms)},
                "seen": {"record": _moment(times.record_ms), "kept": _moment(times.kept_ms)},
                "detail": reason,
            },
        ),
        source=who,
    )


def _moment(time_ms: int) -> str:
    return utc_time(time_ms // 1000) if time_ms else "none"
