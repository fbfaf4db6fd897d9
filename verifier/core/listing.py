"""The command ``checks`` of both programs: every id with its kind, its meaning and its remedy, or those below a prefix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from difflib import get_close_matches

import click

from verifier.core.catalogue import Listed
from verifier.core.console import Answer, answers
from verifier.core.exits import Exit


def is_below(check_id: str, prefix: str) -> bool:
    """Tell whether an id is the prefix, or begins with it and a dot; every id is below ""."""
    return not prefix or check_id == prefix or check_id.startswith(f"{prefix}.")


def checks_command(listed: Callable[[str], Iterable[Listed]]) -> click.Command:
    """Make the command. ``listed`` gives the ids that may be below a prefix; more of them do no harm."""

    @click.command("checks")
    @click.argument("prefix", default="")
    @answers
    def command(prefix: str) -> Answer:
        """List check ids.

        Print each id with its kind, its meaning, and what to change when it says no. With PREFIX, print one id, or those
        that begin with it, such as sev-snp or service.nonce.

        A check and a rule say what must hold. Every other id says what is wrong; its kind is the outcome.

        Exit codes: 0 printed, 1 no id is or begins with PREFIX.
        """
        return _answer(list(listed(prefix)), prefix)

    return command


def _answer(known: list[Listed], prefix: str) -> Answer:
    found = [entry for entry in known if is_below(entry.id, prefix)]
    if found:
        lines = []
        for one in found:
            lines += [f"{one.id} ({one.kind})", f"  {one.meaning}"]
            lines += [f"  remedy: {one.remedy}"] if one.remedy else []
        return Answer({"checks": [asdict(one) for one in found]}, "\n".join(lines))
    labels = (entry.id.split(".") for entry in known)
    prefixes = sorted({".".join(one[: n + 1]) for one in labels for n in range(len(one))})
    near = get_close_matches(prefix, prefixes)
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    return Answer({"checks": [], "near": near}, f"no check id is or begins with {prefix}{hint}", Exit.NO)
