"""Every row of every vendor's table keeps the same promises; what fetches and keeps documents names no vendor and no kind."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import example_of
from tests.support.sources import ROOT
from verifier.adapters.collateral.documents import BadDocument, inspect, is_of_anchor
from verifier.adapters.collateral.items import CHAIN_SUFFIX, item, item_of
from verifier.adapters.vendors.kind import Document
from verifier.adapters.vendors.registry import KINDS, VENDORS
from verifier.tee.scheme import Need

NAMES = sorted(KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_wholesome_document_is_read_dated_and_believed_with_its_anchors_alone(name: str) -> None:
    example = example_of(name)
    facts = inspect(example.item, example.body, example.chain)
    assert facts.issued <= example.now <= facts.expires
    assert is_of_anchor(example.item, example.body, example.anchors, example.issuers)
    assert is_of_anchor(example.item, example.body, (), example.issuers) is (KINDS[name].is_genuine is None)


@pytest.mark.parametrize("name", NAMES)
def test_a_document_that_breaks_off_is_none(name: str) -> None:
    example = example_of(name)
    for body in (b"", example.body[:100], b"<html>"):
        with pytest.raises(BadDocument):
            inspect(example.item, body, example.chain)


@pytest.mark.parametrize("name", [name for name in NAMES if KINDS[name].marks is not None])
def test_a_kind_with_numbers_numbers_what_its_anchors_vouch_for_and_nothing_else(name: str) -> None:
    example, marks = example_of(name), KINDS[name].marks
    assert marks is not None
    document = Document(example.key, example.body, example.chain)
    raised = marks(document, {}, example.anchors)
    assert raised
    assert len({mark.issuer for mark in raised}) == len(raised)
    assert marks(document, {}, ()) == ()


@pytest.mark.parametrize("name", NAMES)
def test_a_key_of_another_form_is_never_looked_for(name: str) -> None:
    for key in ("", "../x", f"{example_of(name).key}\n", f"{example_of(name).key}/", ".", "\0"):
        assert item(name, key) is None
        assert item_of(Need("x", name, key)) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_chain_answers_a_need_of_its_own_where_the_row_says_so(name: str) -> None:
    example, row = example_of(name), KINDS[name]
    found = item_of(Need("x", f"{name}{CHAIN_SUFFIX}", example.key))
    assert found == ((example.item, "chain") if row.has_chain else None)
    assert bool(example.chain) == row.has_chain


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_has_its_line_in_the_docs(name: str) -> None:
    assert f"\n| `{name}`" in (ROOT / "docs" / "collateral.md").read_text(encoding="utf-8")


def test_a_need_and_a_folder_know_a_kind_by_owner_and_noun() -> None:
    assert all(name.count(".") == 1 and not name.endswith(CHAIN_SUFFIX) for name in NAMES if name != "intel.pck-chain")


def _spoken(path: Path) -> Iterator[str]:
    """Return the names and strings of a module, docstrings aside."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""  # a docstring
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name | ast.Attribute):
            yield node.id if isinstance(node, ast.Name) else node.attr
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (*(alias.name for alias in node.names), getattr(node, "module", None) or "")


@pytest.mark.parametrize(
    "path", sorted((ROOT / "verifier/adapters/collateral").glob("*.py")), ids=lambda path: path.stem
)
def test_what_fetches_and_keeps_documents_names_no_vendor_and_no_kind(path: Path) -> None:
    owners = {*VENDORS, *(name.partition(".")[0] for name in NAMES)}
    words = (
        owners | {name.partition(".")[2] for name in NAMES if "-" in name.partition(".")[2]} | {"ocsp", "vcek", "fmspc"}
    )
    shapes = {shape for word in words for shape in (word, word.replace("-", "_"), word.upper())}
    assert not sorted({said for said in _spoken(path) if any(shape in said for shape in shapes)})
