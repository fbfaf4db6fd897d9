"""``python -m tools.release``: build exactly what a release is, into ``dist/`` (docs/releasing.md).

Two wheels, two sdists, a software bill of materials (CycloneDX 1.5, from uv.lock: what the extras bring, without development tools)
and SHA256SUMS over them. Refused: a work tree with changes, a version that CHANGELOG.md has no section for, one that is tagged, and
distributions of different versions. ``--check`` does that much and builds nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRODUCT = "vault-attestation-bridge"
FORGE = f"{PRODUCT}-forge"
SBOM = "sbom.cdx.json"
SUMS = "SHA256SUMS"


class RefusedError(Exception):
    """There is nothing to release; the message says what is wrong and what to do."""


def version_of(root: Path) -> str:
    """Return the version of both distributions; ``RefusedError`` where they or what they ask of each other differ."""
    product = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    forge = tomllib.loads((root / "forge" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = str(product["version"])
    said = {
        "version in forge/pyproject.toml": (forge["version"], version),
        "dependencies in forge/pyproject.toml": (forge["dependencies"], [f"{PRODUCT}=={version}"]),
        "extra simulated in pyproject.toml": (
            product["optional-dependencies"]["simulated"],
            [f"{FORGE}=={version}"],
        ),
    }
    for what, (got, want) in said.items():
        if got != want:
            raise RefusedError(f"{what}: got {got!r}, want {want!r}")
    return version


def require_released(root: Path, version: str) -> None:
    """Refuse a version without a dated section in the changelog."""
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## {re.escape(version)} - \d{{4}}-\d{{2}}-\d{{2}}$", changelog, re.MULTILINE):
        raise RefusedError(f"CHANGELOG.md: no section for {version}, want a line such as '## {version} - 2026-01-31'")


def require_clean(root: Path, version: str, *, again: bool = False) -> None:
    """Refuse a work tree that is not what its commit says, and a version that has a tag; ``again``: one of another commit."""
    changes = _git(root, "status", "--porcelain")
    if changes:
        raise RefusedError(f"the work tree has changes, want none: commit them or take them back\n{changes}")
    tag = f"v{version}"
    if _git(root, "tag", "--list", tag):
        if not again:
            raise RefusedError(f"tag {tag} exists: raise the version, or build this release --again to compare")
        if _git(root, "rev-list", "-n", "1", tag) != _git(root, "rev-parse", "HEAD"):
            raise RefusedError(f"tag {tag} is another commit: check that one out")


def build(root: Path, uv: str, version: str, *, offline: bool) -> list[Path]:
    """Build into ``dist/``, which is emptied first; returns the files."""
    dist = root / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    network = ["--offline"] if offline else []
    # Files in wheels and sdists carry the commit's time: the same commit gives the same bytes.
    epoch = _git(root, "log", "-1", "--format=%ct")
    _run(root, [uv, "build", "--all-packages", "--out-dir", str(dist), *network], SOURCE_DATE_EPOCH=epoch)
    (dist / ".gitignore").unlink(missing_ok=True)
    bill = [uv, "export", "--frozen", "--no-dev", "--all-extras", "--format", "cyclonedx1.5"]
    text = _run(root, [*bill, "--preview-features", "sbom-export", *network], SOURCE_DATE_EPOCH=epoch)
    (dist / SBOM).write_text(_repeatable(text, version), encoding="utf-8")
    files = sorted(dist.iterdir())
    sums = "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)
    (dist / SUMS).write_text(sums, encoding="ascii")
    return [*files, dist / SUMS]


def _repeatable(bill: str, version: str) -> str:
    """Take out of a bill of materials what differs from run to run: a random serial number and the time."""
    document = json.loads(bill)
    document.pop("serialNumber", None)
    document["metadata"].pop("timestamp", None)
    if document["metadata"]["component"].get("version") != version:
        raise RefusedError("uv.lock is of another version: run make lock")
    return json.dumps(document, indent=1) + "\n"


def _git(root: Path, *arguments: str) -> str:
    return _run(root, ["git", *arguments]).strip()


def _run(root: Path, command: list[str], **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    done = subprocess.run(
        command, cwd=root, env={**inherited, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefusedError(f"{' '.join(command[:3])} left with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    """Check and build; 1 with a sentence where a release is refused."""
    parser = argparse.ArgumentParser(description="Build a release into dist/.")
    parser.add_argument("--check", action="store_true", help="Say whether this commit can be released; build nothing.")
    parser.add_argument("--again", action="store_true", help="Build the tagged commit again, to compare.")
    parser.add_argument("--uv", default="uv", help="The uv to build with (make release gives the pinned one).")
    parser.add_argument("--offline", action="store_true", help="Build from uv's cache alone.")
    arguments = parser.parse_args()
    try:
        version = version_of(ROOT)
        require_released(ROOT, version)
        require_clean(ROOT, version, again=arguments.again)
        if arguments.check:
            print(f"{version} can be released")
            return 0
        files = build(ROOT, arguments.uv, version, offline=arguments.offline)
    except RefusedError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    print("\n".join(str(file.relative_to(ROOT)) for file in files))
    print(f"Next: git tag --sign v{version} && git push --tags (docs/releasing.md)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
