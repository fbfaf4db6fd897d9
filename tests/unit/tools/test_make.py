"""The Makefile and the CI run say what they do, and neither passes over what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Machine, Result
from tools.realparts.places import ROOT

TARGETS = {
    "help",
    "venv",
    "lock",
    "demo",
    "docs",
    "release",
    "lint",
    "type",
    "check",
    "unit",
    "test",
    "test-faults",
    "test-compose",
} | {
    "bench",
    "bench-against",
    "fuzz",
}
PARTS = """
if [ "$1" = tools/offline.py ]; then
  [ "$2" = --probe ] && exit ${FAKE_NAMESPACE:-0}
  shift 2; FAKE_INSIDE=1 exec "$@"
fi
[ "$1" = tools/parts.py ] || exit 0
[ "$2" != "$FAKE_MISSING" ] || { echo "$2: install it" >&2; exit 3; }
echo "/got/$2"
"""
PYTEST = 'echo "vault=$VAULT_BIN config=$TF_CLI_CONFIG_FILE strict=$VAB_TEST_REQUIRE_PARTS inside=$FAKE_INSIDE cases=$EVIDENCE_CASES"'


@pytest.fixture
def checkout(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a checkout with this Makefile and CI run, fake parts and a fake virtualenv that is up to date."""
    folder = machine.root / "main"
    for name in ("Makefile", ".ci/run"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    for name in ("pyproject.toml", "uv.lock"):
        (folder / name).touch()
    (folder / ".venv").mkdir()
    (folder / ".venv/bin").symlink_to(machine.bin)
    (folder / ".venv/.complete").touch()
    machine.fake("python3", PARTS)
    machine.fake("python")
    for name in ("pytest", "ruff", "lint-imports", "mypy"):
        machine.fake(name, PYTEST if name == "pytest" else "exit 0")
    monkeypatch.setenv("PATH", f"{machine.bin}:/usr/bin:/bin")
    for name in (
        "CI",
        "REQUIRE_ALL_PARTS",
        "EVIDENCE_CASES",
        "FAKE_MISSING",
        "FAKE_NAMESPACE",
        "MAKEFLAGS",
        "MAKELEVEL",
        "PYTHON",
    ):
        monkeypatch.delenv(name, raising=False)
    return folder


def run(folder: Path, *words: str) -> Result:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return Result(done.returncode, done.stdout, done.stderr)


def evidence(checkout: Path) -> Path:
    folder = checkout.parent / "shared" / "evidence"
    folder.mkdir(parents=True)
    return folder


def test_plain_make_names_every_target(checkout: Path) -> None:
    result = run(checkout, "make")
    named = set(re.findall(r"^  ([a-z-]+) +\S", result.out, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert named == set(phony.group(1).split()) == TARGETS


def test_the_tests_get_the_parts_and_are_told_not_to_skip(checkout: Path, machine: Machine) -> None:
    cases = evidence(checkout)
    result = run(checkout, "make", "test")
    assert result.status == 0, result.err
    assert f"Evidence cases: {cases}" in result.out
    assert f"vault=/got/vault config=/got/terraform-config strict=1 inside=1 cases={cases}" in result.out
    assert machine.calls("pytest") == [
        "pytest tests --ignore=tests/compose --ignore=tests/fuzz --ignore=tests/faults -n 2 --dist loadgroup"
    ]


def test_named_evidence_goes_before_what_lies_beside(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    evidence(checkout)
    monkeypatch.setenv("EVIDENCE_CASES", str(tmp_path))
    assert f"cases={tmp_path}\n" in run(checkout, "make", "test").out
    monkeypatch.setenv("EVIDENCE_CASES", str(tmp_path / "nowhere"))
    result = run(checkout, "make", "test")
    assert result.status != 0
    assert "which is no folder" in result.err


def test_missing_evidence_is_told_and_where_all_is_wanted_a_failure(
    checkout: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(checkout, "make", "test")
    assert result.status == 0
    assert "Evidence cases: none" in result.out
    assert "cases=\n" in result.out
    for name, value in (("CI", "true"), ("REQUIRE_ALL_PARTS", "1")):
        monkeypatch.setenv(name, value)
        strict = run(checkout, "make", "test")
        assert strict.status != 0
        assert "There are no evidence cases" in strict.err
        monkeypatch.delenv(name)
    assert len(machine.calls("pytest")) == 1


@pytest.mark.parametrize("part", ["debian", "vault", "terraform-config"])
@pytest.mark.parametrize("target", ["test", "demo"])
def test_a_missing_part_ends_it_with_its_sentence(
    checkout: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch, part: str, target: str
) -> None:
    evidence(checkout)
    monkeypatch.setenv("FAKE_MISSING", part)
    result = run(checkout, "make", target)
    assert result.status != 0
    assert f"{part}: install it" in result.err
    assert machine.calls("pytest") + machine.calls("python ") == []


def test_a_changed_lock_file_renews_the_virtualenv(checkout: Path, machine: Machine) -> None:
    assert run(checkout, "make", "venv").status == 0
    assert machine.calls("python3") == []
    later = (checkout / ".venv/.complete").stat().st_mtime + 10
    (checkout / "uv.lock").touch()
    subprocess.run(["/usr/bin/touch", "-d", f"@{later}", str(checkout / "uv.lock")], check=True)
    uv = machine.fake("uv-program")
    machine.fake("python3", f'[ "$2" = uv ] && echo "{uv}" || echo /python')
    assert run(checkout, "make", "venv").status == 0
    (call,) = machine.calls("uv-program")
    assert call == "uv-program sync --quiet --all-extras --all-groups --frozen --python /python"


def ci(checkout: Path, machine: Machine, failing: str) -> Result:
    machine.fake("make", f'case "$*" in "{failing}") exit 2 ;; esac')
    return run(checkout, ".ci/run")


def test_the_ci_run_does_everything_and_sums_up(checkout: Path, machine: Machine) -> None:
    evidence(checkout)
    result = ci(checkout, machine, failing="none")
    assert result.status == 0, result.err
    assert machine.calls("make") == [
        f"make {name}" for name in ("venv", "lint", "type", "test", "test-faults", "demo", "test-compose")
    ]
    assert machine.calls("python3")[-1] == "python3 tools/parts.py dockerd --stop"
    assert len(re.findall(r"^\S+ +\d+ s  ok$", result.out, re.MULTILINE)) == 13
    assert result.out.endswith("CI: everything passed\n")


def test_a_failing_phase_fails_the_ci_run_but_not_the_phases_after_it(checkout: Path, machine: Machine) -> None:
    evidence(checkout)
    result = ci(checkout, machine, failing="test")
    assert result.status == 1
    assert re.search(r"^test +\d+ s  FAILED \(2\)$", result.out, re.MULTILINE)
    assert machine.calls("make")[-1] == "make test-compose"
    assert result.out.endswith("CI: FAILED, see above\n")


def test_the_ci_run_ends_where_nothing_can_stand(
    checkout: Path, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence(checkout)
    monkeypatch.setenv("FAKE_MISSING", "vault")
    result = ci(checkout, machine, failing="none")
    assert result.status == 3
    assert machine.calls("make") == ["make venv"]
    assert re.search(r"^vault +\d+ s  FAILED \(3\)$", result.out, re.MULTILINE)


def test_without_evidence_the_ci_run_fails_at_once(checkout: Path, machine: Machine) -> None:
    result = ci(checkout, machine, failing="none")
    assert result.status == 2
    assert "There is no ../shared/evidence" in result.err
    assert machine.calls("make") == []


def test_the_tests_run_without_a_network_where_that_can_be_had(checkout: Path) -> None:
    evidence(checkout)
    result = run(checkout, "make", "test")
    assert result.status == 0
    assert "Network: none" in result.out
    assert "inside=1" in result.out


def test_without_namespaces_the_tests_run_and_say_so_but_ci_fails(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evidence(checkout)
    monkeypatch.setenv("FAKE_NAMESPACE", "3")
    result = run(checkout, "make", "test")
    assert result.status == 0
    assert "inside= " in result.out.replace("\n", " ")
    assert "Network: this machine's" in result.out
    monkeypatch.setenv("CI", "true")
    result = run(checkout, "make", "test")
    assert result.status != 0
    assert "network namespace cannot be made" in result.err
