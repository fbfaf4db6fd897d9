"""A release is what its commit says, and what is built of it can be installed and used."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.realparts.places import ROOT
from tools.release import SBOM, SUMS, RefusedError, require_clean, require_released, version_of

_AUTHOR = dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "release@example.test") | dict.fromkeys(
    ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "release"
)


def _run(folder: Path, *command: str | Path, status: int = 0, **environment: str) -> str:
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, env={**os.environ, **_AUTHOR, **environment}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def _commit(folder: Path) -> None:
    _run(folder, "git", "add", "--all")
    _run(folder, "git", "commit", "--quiet", "--allow-empty", "--message", "release")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Make a repository that has what is checked before a build, fit to be released."""
    for name in ("pyproject.toml", "forge/pyproject.toml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {version_of(ROOT)} - 2026-11-30\n")
    _run(tmp_path, "git", "init", "--quiet")
    _commit(tmp_path)
    return tmp_path


def _check(root: Path, **more: bool) -> None:
    version = version_of(root)
    require_released(root, version)
    require_clean(root, version, **more)


def _said(root: Path, **more: bool) -> str:
    with pytest.raises(RefusedError) as caught:
        _check(root, **more)
    return str(caught.value)


def test_a_clean_commit_with_a_section_in_the_changelog_can_be_released(small: Path) -> None:
    _check(small)


@pytest.mark.parametrize("name", ["pyproject.toml", "left.over"])
def test_a_work_tree_with_changes_is_refused(small: Path, name: str) -> None:
    with (small / name).open("a") as file:
        file.write("# changed\n")
    assert name in _said(small)


def test_a_version_that_the_changelog_does_not_have_is_refused(small: Path) -> None:
    (small / "CHANGELOG.md").write_text("# Changelog\n\n## Unreleased\n\n## 0.0.1 - 2026-01-01\n")
    assert "CHANGELOG.md: no section for" in _said(small)


def test_a_version_that_is_tagged_is_built_again_from_its_own_commit_alone(small: Path) -> None:
    tag = f"v{version_of(small)}"
    _run(small, "git", "tag", tag)
    assert f"tag {tag} exists" in _said(small)
    _check(small, again=True)
    _commit(small)
    assert "another commit" in _said(small, again=True)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("forge/pyproject.toml", 'version = "'),
        ("forge/pyproject.toml", "dependencies"),
        ("pyproject.toml", "simulated = ["),
    ],
)
def test_distributions_of_different_versions_are_refused(small: Path, name: str, line: str) -> None:
    file, version = small / name, version_of(small)
    text = [one.replace(version, "9.9.9") if one.startswith(line) else one for one in file.read_text().splitlines()]
    file.write_text("\n".join(text))
    assert f"in {name}: got" in _said(small)


def test_the_license_of_the_forge_is_that_of_the_repository() -> None:
    assert (ROOT / "forge/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


@pytest.fixture(scope="module")
def uv() -> str:
    """Return the uv that the virtualenv was made with."""
    return _run(ROOT, sys.executable, "tools/parts.py", "uv").strip().splitlines()[-1]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory, uv: str) -> Iterator[Path]:
    """Copy the repository as it is here, commit it as a release, and build that, without a network."""
    folder = tmp_path_factory.mktemp("release")
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    changelog = folder / "CHANGELOG.md"
    changelog.write_text(
        changelog.read_text().replace("## Unreleased", f"## Unreleased\n\n## {version_of(ROOT)} - 2026-11-30", 1)
    )
    _run(folder, "git", "init", "--quiet")
    _commit(folder)
    _run(folder, sys.executable, "-m", "tools.release", "--uv", uv, "--offline")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def installed(copy: Path, uv: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the product's wheel into a fresh virtualenv; what it needs comes from uv's cache, as locked."""
    # Not in the copy: a later build would put it into its source distribution.
    place, (wheel,) = tmp_path_factory.mktemp("installed") / "venv", copy.glob("dist/vault_attestation_bridge-*.whl")
    synced = [uv, "sync", "--quiet", "--offline", "--frozen", "--no-dev", "--no-install-project", "--extra", "verifier"]
    _run(copy, *synced, "--python", sys.executable, UV_PROJECT_ENVIRONMENT=str(place), VIRTUAL_ENV="")
    _run(copy, uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", place / "bin/python", wheel)
    return place / "bin"


def test_dist_holds_two_wheels_two_sdists_a_bill_of_materials_and_their_sums(copy: Path) -> None:
    version, dist = version_of(copy), copy / "dist"
    built = {f"{name}-{version}{end}" for name in ("vault_attestation_bridge", "vault_attestation_bridge_forge")
             for end in (".tar.gz", "-py3-none-any.whl")}  # fmt: skip
    assert {file.name for file in dist.iterdir()} == {*built, SBOM, SUMS}
    want = [f"{hashlib.sha256((dist / name).read_bytes()).hexdigest()}  {name}" for name in sorted((*built, SBOM))]
    assert (dist / SUMS).read_text().splitlines() == want


def test_the_bill_of_materials_names_what_is_installed_and_no_tool(copy: Path) -> None:
    bill = json.loads((copy / "dist" / SBOM).read_text())
    names = {component["name"] for component in bill["components"]}
    assert (bill["bomFormat"], bill["metadata"]["component"]["version"]) == ("CycloneDX", version_of(copy))
    assert names >= {"cryptography", "flask", "tpm2-pytss"}
    assert not names & {"pytest", "mypy"}


def test_a_second_build_of_the_commit_gives_the_same_bytes(copy: Path, uv: str) -> None:
    before = (copy / "dist" / SUMS).read_bytes()
    _run(copy, sys.executable, "-m", "tools.release", "--uv", uv, "--offline")
    assert (copy / "dist" / SUMS).read_bytes() == before


def test_no_forged_key_is_in_the_wheel_of_the_product(copy: Path) -> None:
    (wheel,) = copy.glob("dist/vault_attestation_bridge-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "verifier", "attester", f"vault_attestation_bridge-{version_of(copy)}.dist-info",
    }  # fmt: skip
    assert not [name for name in names if name.endswith(".pem")]


def test_both_programs_of_the_wheel_start(installed: Path, tmp_path: Path) -> None:
    for program in ("verifier", "attester"):
        assert f"Usage: {program}" in _run(tmp_path, installed / program, "--help")
    assert "--scheme" in _run(tmp_path, installed / "verifier", "appraise", "--help")


def test_the_simulated_provider_names_its_extra_and_works_with_it(
    copy: Path, installed: Path, uv: str, tmp_path: Path
) -> None:
    evidence = (
        installed / "attester",
        "evidence",
        "--config-in-image",
        "--provider",
        "simulated",
        "--report-data",
        "00" * 64,
    )
    assert "vault-attestation-bridge[simulated]" in _run(tmp_path, *evidence, status=64)
    (wheel,) = copy.glob("dist/vault_attestation_bridge_forge-*.whl")
    _run(copy, uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", installed / "python", wheel)
    assert '"sev-snp"' in _run(tmp_path, *evidence, "--format", "json")
