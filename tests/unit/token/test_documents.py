"""The documents name every claim and every check id that the code has, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from attester.ids import AnswerId
from verifier.core.ids import PolicyId
from verifier.token.claims import CLAIM_NAMES, EAT_PROFILE
from verifier.token.keyring import SERVED_AFTER_S

ROOT = Path(__file__).parents[3]
CLAIMS = (ROOT / "docs/claims.md").read_text()
MEANING = (ROOT / "docs/what-a-token-means.md").read_text()
ATTESTER = (ROOT / "docs/attester.md").read_text()
DECISION = (ROOT / "docs/adr/0004-keys-and-answers.md").read_text()


def ids(text: str, prefix: str) -> set[str]:
    return set(re.findall(rf"[\"`]({prefix}\.[a-z.-]*[a-z])[\"`]", text))


def test_claims_md_lists_every_claim_in_the_codes_order() -> None:
    tables = CLAIMS.split("## The two hashes")[0]
    assert tuple(re.findall(r"^\| `([a-z_]+)` \|", tables, re.MULTILINE)) == CLAIM_NAMES


def test_the_profile_has_its_page() -> None:
    assert EAT_PROFILE in MEANING
    assert EAT_PROFILE in CLAIMS


def test_every_check_of_an_answer_is_in_the_attesters_page_in_the_order_of_the_comparisons() -> None:
    assert re.findall(r"^\| `(answer\.[a-z.-]+)` \|", ATTESTER, re.MULTILINE) == list(AnswerId)


def test_every_check_of_an_answer_has_a_test_that_fails_with_it() -> None:
    tests = (ROOT / "tests/unit/attester/test_answer.py").read_text()
    assert ids(tests, "answer") >= set(AnswerId)


def test_every_gate_of_mint_is_in_claims_md() -> None:
    source = (ROOT / "verifier/token/claims.py").read_text()
    gates = {PolicyId[name] for name in re.findall(r"EvidenceRejected\(\s*PolicyId\.([A-Z]+)", source)}
    assert ids(CLAIMS, "policy") == gates != set()


def test_the_decision_says_how_long_a_key_is_served() -> None:
    assert "300 s" in DECISION
    assert SERVED_AFTER_S == 300 + 60 + 10
