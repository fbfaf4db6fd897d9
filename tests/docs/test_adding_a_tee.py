"""docs/adding-a-tee.md, followed literally on a copy of the repository: what the page forgets is missed here."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.sources import ROOT

_PAGE = ROOT / "docs" / "adding-a-tee.md"
_FILE = re.compile(r"^File `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_EDIT = re.compile(r"^In `([^`]+)`, one (line|word) more [^\n]*:\n\n```\w+\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_COPIED = ("verifier", "attester", "forge", "tests", "docs", "pyproject.toml")
# Behind what the page's edit goes: a line of a table, the first scheme of the layer.
_BEHIND = {
    "verifier/tee/registry.py": '    "sev_snp",\n',
    "pyproject.toml": '"sev_snp',
    "verifier/adapters/vendors/registry.py": '    "nvidia",\n',
    "docs/collateral.md": "| as the answer says |\n",
}


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a copy of the repository with the toy in it."""
    copy = tmp_path_factory.mktemp("toy") / "copy"
    copy.mkdir()
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, copy / name)
    text = _PAGE.read_text(encoding="utf-8")
    for path, body in _FILE.findall(text):
        target = copy / path
        assert not target.exists(), f"{path}: the page writes over a file of the repository"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(body, encoding="utf-8")
    for path, _what, added in _EDIT.findall(text):
        source = (copy / path).read_text(encoding="utf-8")
        behind = _BEHIND[path]
        assert source.count(behind) == 1
        more = f"{added}\n" if behind.endswith("\n") else added
        (copy / path).write_text(source.replace(behind, behind + more), encoding="utf-8")
    return copy


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).parent / command[0]
    return subprocess.run(
        [str(tool), *command[1:]], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


def test_the_page_names_files_and_every_edit() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    assert {path for path, _body in _FILE.findall(text)} >= {
        "verifier/tee/toy/layout.py",
        "tests/vectors/toy/recipes.py",
        "verifier/adapters/vendors/toy.py",
    }
    assert {path for path, _what, _added in _EDIT.findall(text)} == _BEHIND.keys()


def test_the_conformance_suite_accepts_the_toy(followed: Path) -> None:
    done = _run(followed, "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance", "-k", "toy")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    passed = re.findall(r"(\d+) (?:subtests )?passed", done.stdout)
    assert sum(map(int, passed)) > 20, done.stdout[-3000:]


def test_what_its_vendor_publishes_is_a_row_like_all_others(followed: Path) -> None:
    """What the house asks of every row, and the page's own test: asked for by a need, fetched over HTTPS, kept, used, marked."""
    for arguments in (
        ("tests/conformance/test_kinds.py",),
        ("tests/unit/adapters/collateral/test_toy.py",),
    ):
        done = _run(followed, "pytest", "-q", "-p", "no:cacheprovider", *arguments)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


def test_the_suite_notices_a_row_that_believes_everything(followed: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(followed, broken)
    vendor = broken / "verifier" / "adapters" / "vendors" / "toy.py"
    text = vendor.read_text(encoding="utf-8")
    lamed = text.replace("is_genuine=is_crl_of_anchor,", "is_genuine=lambda _document, _anchors: True,")
    assert lamed != text
    vendor.write_text(lamed, encoding="utf-8")
    done = _run(broken, "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance/test_kinds.py", "-k", "toy")
    assert done.returncode == 1
    assert "believed_with_its_anchors_alone[toy.crl]" in done.stdout


def test_the_conformance_suite_notices_a_check_that_is_gone(followed: Path, tmp_path: Path) -> None:
    """The page's suite can fail: without the line that runs the signature check, it does."""
    broken = tmp_path / "broken"
    shutil.copytree(followed, broken)
    scheme = broken / "verifier" / "tee" / "toy" / "scheme.py"
    text = scheme.read_text(encoding="utf-8")
    line = next(line for line in text.splitlines(keepends=True) if 'Check("toy.report.signature"' in line)
    scheme.write_text(text.replace(line, ""), encoding="utf-8")
    done = _run(broken, "pytest", "-q", "-p", "no:cacheprovider", "tests/conformance/test_schemes.py", "-k", "toy")
    assert done.returncode == 1
    assert "other-chip" in done.stdout


def test_layers_types_and_style_accept_the_toy(followed: Path) -> None:
    product = ("verifier/tee/toy", "verifier/adapters/vendors/toy.py")
    tests = ("tests/vectors/toy", "tests/vectors/vendors/toy.py", "tests/unit/adapters/collateral/test_toy.py")
    for command in (
        ("lint-imports", "--no-cache"),
        ("mypy", "--cache-dir=/dev/null", *product),
        ("ruff", "check", "--no-cache", *product, *tests),
        ("ruff", "format", "--no-cache", "--check", *product, *tests),
    ):
        done = _run(followed, *command)
        assert done.returncode == 0, f"{command[0]}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
