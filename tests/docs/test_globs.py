"""No Vault policy of this repository ends in an open glob: over KV version 2 it would tell a token what its path does not say.

Read are all files that can hold a policy: Terraform, HCL, shell, Python (demo, tests, compose) and the pages.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_SUFFIXES = frozenset({".hcl", ".tf", ".md", ".py", ".sh", ".yml", ".yaml", ".toml", ".json"})
_STANZA = re.compile(r"""\bpath\s+["'](?P<path>[^"']+)["']""")
# A path of a KV mount that ends in an open glob, however it is written down: secret/data/{tenant}/{workload}/ and a star.
_KV_GLOB = re.compile(
    r"""/(?:data|metadata|delete|undelete|destroy|subkeys)/[^\s"'`|]*\*(?=["'`\s|,)]|$)""", re.MULTILINE
)
# Not over a KV mount, and not a workload's: what Terraform may write. A policy's name begins with its mount's.
_ALLOWED = frozenset({"sys/policies/acl/attestation-default_*"})


def _files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [ROOT / name for name in listed.split("\0") if Path(name).suffix in _SUFFIXES]
    return [path for path in found if path.exists() and path != Path(__file__).resolve()]


def test_there_are_policies_to_look_at() -> None:
    stanzas = [name for path in _files() for name in _STANZA.findall(path.read_text(encoding="utf-8"))]

    assert sum("/data/" in name for name in stanzas) >= 4, stanzas
    assert all(_STANZA.search(path.read_text()) for path in (ROOT / "policies").glob("*.hcl"))


@pytest.mark.parametrize("name", ["workload", "instance", "measurement", "static"])
def test_every_template_ends_in_one_segment(name: str) -> None:
    paths = _STANZA.findall((ROOT / "policies" / f"{name}.hcl").read_text(encoding="utf-8"))

    assert len(paths) == 1
    assert paths[0].endswith("/+")
    assert "*" not in paths[0]


def test_no_policy_has_an_open_glob() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in _files()
        for name in _STANZA.findall(path.read_text(encoding="utf-8"))
        if "*" in name and name not in _ALLOWED
    ]

    assert found == []


def test_no_text_names_a_kv_path_with_an_open_glob() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in _files()
        for match in _KV_GLOB.finditer(path.read_text(encoding="utf-8"))
    ]

    assert found == []
