"""What is written for readers: lines that fit, words that say who, and no citation of a page that is not here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (
    "attester",
    "benchmarks",
    "deploy",
    "docs",
    "forge",
    "policies",
    "tests",
    "tools",
    "vault-config",
    "verifier",
)
SUFFIXES = {".hcl", ".json", ".md", ".py", ".sh", ".tf", ".toml", ".yaml", ".yml"}
LONGEST = 160

# A path that ends in .md. What precedes it must not be part of a longer name, of a pattern or of an f-string.
_NAMED = re.compile(r"(?<![\w./{}*-])(?:\.{1,2}/)*(?:[\w-]+/)*[\w.-]*\w\.md\b", re.ASCII)
# By file: names that are no pages of this repository, on purpose.
_ELSEWHERE = {
    "docs/adding-a-tee.md": {"docs/tee/toy.md"},  # a page that a reader writes while following this one
    "tests/support/derived_vtpm.py": {"notes.md"},  # a file of a made-up case
    "tests/unit/adapters/trust/test_anchors.py": {"tpm2/README.md"},  # a file in a folder of anchors
}
_NOBODY = re.compile(r"\b(?:who(?:so)?ever|nobody|anybody)\b", re.IGNORECASE)


def _sources() -> Iterator[Path]:
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file() and path.name != Path(__file__).name)
    for folder in FOLDERS:
        found = (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES or not path.suffix)
        yield from (path for path in found if path.is_file() and path != Path(__file__))


def _pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "vault-config").rglob("*.md")]
    return sorted([*found, *(ROOT / "tools").rglob("*.md")])


def _is_here(name: str, source: Path, basenames: set[str]) -> bool:
    """Tell whether a cited page exists: from the root, beside the file that cites it, or anywhere for a bare file name."""
    return name in basenames or (ROOT / name).is_file() or (source.parent / name).is_file()


def test_every_page_that_is_cited_exists_in_the_repository() -> None:
    """A reader of the source has the repository and vendors' documents, and no design notes."""
    sources = list(_sources())
    basenames = {path.name for path in sources if path.suffix == ".md"}
    assert {"README.md", "architecture.md"} <= basenames
    missing = {
        f"{place}: {name}"
        for source in sources
        for place in [str(source.relative_to(ROOT))]
        for name in set(_NAMED.findall(source.read_text(encoding="utf-8", errors="ignore")))
        if name not in _ELSEWHERE.get(place, set()) and not _is_here(name, source, basenames)
    }
    assert not sorted(missing)


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_line_of_a_page_is_longer_than_160_characters(page: Path) -> None:
    """A row of a table cannot be wrapped, so it may be longer."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [n for n, line in enumerate(lines, 1) if len(line) > LONGEST and not line.lstrip().startswith("|")]


@pytest.mark.parametrize("page", _pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_say_who_and_not_whoever(page: Path) -> None:
    """``whoever``, ``nobody`` and ``anybody`` hide the party that a sentence is about. Tables of ids are the catalogue's."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if _NOBODY.search(line) and not line.startswith("|")]
