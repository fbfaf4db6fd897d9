"""The stand-in images are made from one cached file, with the programs that the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Machine, Parts
from tests.unit.tools.test_hashicorp import terraform
from tools.realparts.places import ROOT

DOCKER = """
case "$*" in
"compose version"*) echo 2.40.3 ;;
"version --format"*) echo 20.10.24 ;;
"image inspect"*) cat "{label}" 2>/dev/null ;;
import*) echo bookworm-1 > "{label}" ;;
*" build")
  # What the builder gets to see, while it is there.
  (cd "$VAB_IMAGES_CONTEXT" && find . -type f | sort) > "{seen}"
  [ -f "$VAB_IMAGES_DOCKERFILE" ] ;;
esac
"""


@pytest.fixture
def builder(machine: Machine, monkeypatch: pytest.MonkeyPatch, go: Path) -> Machine:
    """Put all that the images are made with on the machine."""
    assert go.exists()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    machine.fake("docker", DOCKER.format(label=machine.root / "label", seen=machine.root / "seen"))
    machine.fake("debootstrap", 'for word; do case "$word" in */tree) mkdir -p "$word/etc" ;; esac; done')
    machine.fake("apt-get", "echo http://mirror.example/debian/")
    machine.fake("vault", 'echo "Vault v1.21.1"')
    (machine.bin / "tar").symlink_to("/bin/tar")
    terraform(machine)
    return machine


def test_stand_ins_are_made_once_and_named_in_a_settings_file(builder: Machine, parts: Parts) -> None:
    result = parts("images")
    assert result.status == 0, result.err
    settings = Path(result.out.strip())
    assert settings == builder.cache / "images" / "images.env"
    named = {line.split("=")[1] for line in settings.read_text().splitlines() if line.startswith("VAB_")}
    made = (ROOT / "tools" / "images" / "compose.yml").read_text()
    assert all(f"image: {name}\n" in made for name in named)
    assert parts("images").out == result.out
    assert len(builder.calls("debootstrap")) == 1
    assert len(builder.calls("docker import")) == 1


def test_the_machine_s_own_mirror_is_used(builder: Machine, parts: Parts) -> None:
    assert parts("images").status == 0
    (call,) = builder.calls("debootstrap")
    assert call.endswith("/tree http://mirror.example/debian/")


def test_elsewhere_than_on_debian_the_default_mirror_is_used(builder: Machine, parts: Parts) -> None:
    (builder.root / "os-release").write_text("ID=ubuntu\nVERSION_CODENAME=noble\n")
    assert parts("images").status == 0
    (call,) = builder.calls("debootstrap")
    assert call.endswith("/tree")


def test_the_builder_sees_the_programs_and_nothing_else(builder: Machine, parts: Parts) -> None:
    assert parts("images").status == 0
    seen = (builder.root / "seen").read_text().splitlines()
    provider = "./mirror/registry.example/hashicorp/vault/3.3.1/linux_amd64/terraform-provider-vault_v3.3.1"
    assert seen == ["./ca-certificates.crt", provider, "./terraform", "./terraform.rc", "./vault"]
    assert [path.name for path in (builder.cache / "images").iterdir() if path.name.startswith("tmp")] == []


def test_only_root_can_bootstrap(builder: Machine, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = parts("images")
    assert result.status == 3
    assert "run by root" in result.err
    assert builder.calls("debootstrap") == []
