"""Pages written by hand name files and check ids; both have to be there, or the page has outlived the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def _ids() -> set[str]:
    """Collect every id that the schemes or a string constant of the program has, parts of ids put together included."""
    found = {check.id for scheme in SCHEMES.values() for check in scheme.verification.checks}
    found |= {rule.id for scheme in SCHEMES.values() for rule in scheme.appraisal.rules}
    for package in ("verifier", "attester"):
        for source in (ROOT / package).rglob("*.py"):
            text = source.read_text(encoding="utf-8")
            found |= set(re.findall(r'"([a-z0-9-]+(?:\.[a-z0-9-]+)+)"', text))
            found |= {f"lint.{name}" for name in re.findall(r'"([a-z]+)"', text)} if source.name == "lint.py" else set()
            # service/enrol.py says f"{where}.admission" with where = "tpm2.enrolment", and f"{SCHEME}.enrolment.admission".
            found |= {
                f"tpm2.enrolment.{name}"
                for name in re.findall(r'"\{(?:where|SCHEME)\}(?:\.enrolment)?\.([a-z-]+)"', text)
            }
            found |= {f"answer.{name}" for name in re.findall(r'\("([a-z]+)", (?:b64url\()?expected\.', text)}
            # attester/https.py: f"attester.{name}.untrusted", name being verifier or vault.
            for tail in re.findall(r'f"attester\.\{[\w.]+\}\.([a-z]+)"', text):
                found |= {f"attester.{name}.{tail}" for name in ("verifier", "vault")}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_ids_that_a_page_names_are_said_by_the_program(page: str) -> None:
    schemes = "|".join(sorted(SCHEMES))
    form = rf"(?:{schemes}|wire|service|binding|policy|answer|attester|lint)\.[a-z0-9.-]*[a-z0-9]"
    named = {text for text in _quoted(page) if re.fullmatch(form, text)}
    assert not sorted(named - _ids())


def test_the_threat_model_names_every_check_of_every_scheme_or_its_page_does() -> None:
    """A check that no page explains is a check that nobody can act upon."""
    written = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))
    ids = {check.id for scheme in SCHEMES.values() for check in scheme.verification.checks}
    ids |= {rule.id for scheme in SCHEMES.values() for rule in scheme.appraisal.rules}
    assert not sorted(name for name in ids if f"`{name}`" not in written)
