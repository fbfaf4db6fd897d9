"""``verifier store``: read the records of verdicts, check their chain, void all challenges, accept a clock."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from verifier.adapters.settings_source import load_settings
from verifier.cli.opened import CONFIG_OPTION, opened_records, opened_store, set_mark
from verifier.cli.store_care import COMMANDS
from verifier.cli.store_clock import accept_clock
from verifier.compose import mark_file, open_keys
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit
from verifier.core.ports import CommittedRecord, StoredRecord
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError

_SEQ = re.compile(r"[0-9]{1,18}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


@click.group("store")
def command() -> None:
    """Read records, back up and restore, void challenges."""


for _command in (*COMMANDS, accept_clock):
    command.add_command(_command)


@command.command("raise-epoch")
@CONFIG_OPTION
@click.option("--reason", default="", help="Why. Required for a restored store; kept in the store.")
@answers
def raise_epoch(config: str | None, reason: str) -> Answer:
    """Void every challenge that was issued.

    Do this after a backup was restored, and after a failover that may have lost spent nonces. Attesters ask for a new challenge
    by themselves. Tokens and enrolments stay as they are.

    A restored store, or one that lies behind the mark beside the key file, needs --reason and serves again from then on. What was
    enrolled or withdrawn since the backup is as it was at the backup: look at `verifier enrolment list`.
    """
    settings = load_settings(config)
    keys = open_keys(settings)
    file = mark_file(settings, keys)
    with opened_store(config, is_new=bool(reason)) as store:
        if not reason:
            store.check_mark(file.read())
        epoch = store.raise_epoch(reason)
        set_mark(file, store.mark())
    text = f"epoch {epoch}: within a second every challenge issued before is void; attesters ask again by themselves"
    return Answer({"outcome": "raised", "epoch": epoch}, text)


@command.command("verify")
@CONFIG_OPTION
@click.option(
    "--expect-at-least",
    metavar="SEQ,DIGEST",
    default="",
    help="Want this record in the chain: an end that was kept elsewhere.",
)
@answers
def verify(config: str | None, expect_at_least: str) -> Answer:
    """Check the chain of records.

    The walk starts at the first record. Exit code 1: a link is broken; the message names the record.

    One change stays unseen: the last records were removed together with the chain's end. Keep what this command prints in
    another place, and give it to --expect-at-least later: exit code 1 if that record is not in the chain any more.
    """
    expected = _end(expect_at_least) if expect_at_least else None
    with opened_records(config) as store:
        last = store.verify_chain()
        if expected is not None:
            store.expect_record(expected)
    text = f"{last.seq} records, chain unbroken, ends at {last.digest.hex()}"
    return Answer({"outcome": "unbroken", "seq": last.seq, "digest": last.digest.hex()}, text)


def _end(text: str) -> CommittedRecord:
    seq, _, digest = text.partition(",")
    if not _SEQ.fullmatch(seq) or not _DIGEST.fullmatch(digest):
        raise ConfigError(
            "--expect-at-least", "SEQ,DIGEST", text, "the number and the digest that `verifier store verify` printed"
        )
    return CommittedRecord(int(seq), bytes.fromhex(digest))


@command.command("records")
@CONFIG_OPTION
@click.option("--after", type=click.IntRange(0), help="List the records after this number. Without it: the newest.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100_000), help="List at most this many.")
@click.option("--seq", type=click.IntRange(1), help="Show the record of this number with every finding.")
@answers
def records(config: str | None, after: int | None, limit: int, seq: int | None) -> Answer:
    """List records of verdicts, or show one.

    A line has number, time, tenant, workload, outcome and check id. With --seq, print every finding of one record. A caller hears
    `policy.refused` alone; the record says which rule failed.
    """
    return _listed(config, after, limit) if seq is None else _shown(config, seq)


def _listed(config: str | None, after: int | None, limit: int) -> Answer:
    with opened_records(config) as store:
        start = max(0, store.head().seq - limit) if after is None else after
        found = store.records_after(start, limit)
    lines = [
        " ".join(
            [
                str(one.seq),
                utc_time(one.now_ms // 1000),
                one.tenant or "-",
                one.workload or "-",
                one.outcome,
                one.check_id,
            ]
        ).rstrip()
        for one in found
    ]
    listed = [
        {
            "seq": one.seq,
            "time": utc_time(one.now_ms // 1000),
            **{name: getattr(one, name) for name in ("tenant", "workload", "scheme", "outcome", "check_id")},
        }
        for one in found
    ]
    return Answer({"outcome": "listed", "records": listed}, "\n".join(lines) or "no records")


def _shown(config: str | None, seq: int) -> Answer:
    with opened_records(config) as store:
        record = store.record(seq)
        kept = record is not None and store.evidence(record.evidence_digest) is not None
    if record is None:
        return Answer({"outcome": "unknown", "seq": seq}, f"there is no record {seq}", Exit.NO)
    findings = json.loads(record.findings)
    form = {name: value.hex() if isinstance(value, bytes) else value for name, value in asdict(record).items()}
    form |= {"findings": findings, "time": utc_time(record.now_ms // 1000), "evidence_kept": kept}
    return Answer({"outcome": "shown", "record": form}, "\n".join(_worded(record, findings, kept=kept)))


def _worded(record: StoredRecord, findings: list[dict[str, Any]], *, kept: bool) -> list[str]:
    verdict = record.outcome if not record.check_id else f"{record.outcome} by {record.check_id}"
    facts = {
        "workload": f"{record.tenant}/{record.workload} ({record.workload_uuid or 'not registered'})"
        if record.tenant
        else "",
        "scheme": record.scheme,
        "policy": f"{record.policy or 'none'} {record.policy_digest.hex()}".rstrip(),
        "instance": record.instance,
        "measurement": record.measurement,
        "token": record.jti,
        "from": record.source,
        "evidence": f"{record.evidence_digest.hex()} ({'kept' if kept else 'not kept'})",
    }
    lines = [f"{record.seq} {utc_time(record.now_ms // 1000)} {verdict}"]
    lines += [f"  {name}: {value}" for name, value in facts.items() if value]
    for finding in findings:
        lines += _finding_lines(finding)
    return lines


def _finding_lines(finding: Mapping[str, Any]) -> list[str]:
    mark, about = ("ok  " if finding.get("ok") else "FAIL"), finding.get("identity", "")
    head = f"  {mark}  {finding.get('rule')}{f' ({about})' if about else ''}"
    if "expected" in finding:
        head += f": expected {json.dumps(finding['expected'])}, seen {json.dumps(finding.get('seen'))}"
    more = [finding.get("detail", "")]
    if not finding.get("ok"):
        more.append(finding.get("remedy", ""))
    return [head, *(f"        {text}" for text in more if text)]
