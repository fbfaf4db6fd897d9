"""Pages written by hand name files and check ids; both have to be there, or the page has outlived the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from attester.cli.checks import listed as listed_by_attester
from verifier.tee.catalogue import listed
from verifier.tee.registry import SCHEMES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    "docs/architecture.md",
    "docs/threat-model.md",
    "docs/vault.md",
    "docs/adr/0001-the-house.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
]
FOLDERS = "verifier|attester|vault-config|policies|tests|tools|deploy|docs"


def _quoted(page: str) -> set[str]:
    return set(re.findall(r"`([^`\s]+)`", (ROOT / page).read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = {text for text in _quoted(page) if re.fullmatch(rf"(?:{FOLDERS})/[\w./-]*", text)}
    assert not sorted(name for name in named if not (ROOT / name).exists())


@pytest.mark.parametrize("page", PAGES)
def test_ids_that_a_page_names_are_in_the_catalogue(page: str) -> None:
    known = {one.id for one in (*listed(), *listed_by_attester())}
    first = {check_id.partition(".")[0] for check_id in known}
    form = re.compile(rf"(?:{'|'.join(sorted(first))})\.[a-z0-9_.-]*[a-z0-9]")
    assert not sorted({text for text in _quoted(page) if form.fullmatch(text)} - known)


def test_the_threat_model_names_every_check_of_every_scheme_or_its_page_does() -> None:
    """A check that no page explains is a check that nobody can act upon."""
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    ids = {check.id for scheme in SCHEMES.values() for check in scheme.verification.checks}
    ids |= {rule.id for scheme in SCHEMES.values() for rule in scheme.appraisal.rules}
    assert not sorted(name for name in ids if f"`{name}`" not in written)
