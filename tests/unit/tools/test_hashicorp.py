"""Vault, Terraform and its provider are found where they are and built where they are not."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.unit.tools.conftest import Machine, Parts
from tools.realparts.docker import COMPOSE
from tools.realparts.golang import GoPart
from tools.realparts.hashicorp import PROVIDER, VAULT


def terraform(machine: Machine, name: str = "terraform", host: str = "registry.example") -> Path:
    return machine.fake(
        name,
        f'case "$1" in version) echo "Terraform v1.11.4" ;; '
        f'providers) printf "\\nProviders:\\n.\\n└── provider[{host}/hashicorp/vault]\\n" ;; esac',
    )


def test_a_vault_on_path_is_preferred(machine: Machine, parts: Parts, go: Path) -> None:
    vault = machine.fake("vault", 'echo "Vault v1.15.0 (abc), built 2023-09-22"')
    result = parts("vault")
    assert (result.status, result.out) == (0, f"{vault}\n")
    assert go.exists()
    assert machine.calls("go") == []


def test_an_old_vault_on_path_is_passed_over_and_one_is_built_once(machine: Machine, parts: Parts, go: Path) -> None:
    machine.fake("vault", 'echo "Vault v1.14.9"')
    assert go.exists()
    built = machine.cache / "vault" / "1.21.1" / "vault"
    first, second = parts("vault"), parts("vault")
    assert (first.status, first.out) == (0, f"{built}\n")
    assert "older than 1.15" in first.err
    assert second.out == first.out
    (call,) = machine.calls("go build")
    assert "-tags minimal" in call
    assert call.endswith(" github.com/hashicorp/vault")


def test_vault_bin_is_obeyed_or_refused_but_never_passed_over(
    machine: Machine, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = machine.fake("my-vault", 'echo "Vault v1.10.0"')
    machine.fake("vault", 'echo "Vault v1.21.1"')
    monkeypatch.setenv("VAULT_BIN", str(mine))
    assert parts("vault").out == f"{mine}\n"
    monkeypatch.setenv("VAULT_BIN", str(machine.root / "nowhere"))
    result = parts("vault")
    assert (result.status, result.out) == (3, "")
    assert "VAULT_BIN names" in result.err


def test_without_go_one_sentence_says_what_to_install(machine: Machine, parts: Parts) -> None:
    result = parts("vault")
    assert (result.status, result.out) == (3, "")
    assert re.search(r"install Go 1\.\d+(\.\d+)? or newer", result.err)
    assert not (machine.cache / "vault" / "1.21.1").exists()


def test_an_old_go_is_refused_unless_it_can_fetch_a_newer_one(
    parts: Parts, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go.exists()
    monkeypatch.setenv("FAKE_GO_VERSION", "go1.19.8")
    result = parts("vault")
    assert result.status == 3
    assert "is 1.19.8: install a newer Go" in result.err
    monkeypatch.setenv("FAKE_GO_TOOLCHAIN", "auto")
    assert parts("vault").status == 0


def test_two_processes_build_once(machine: Machine, go: Path) -> None:
    assert go.exists()
    machine.environment["FAKE_GO_SECONDS"] = "1"
    processes = [machine.start("vault") for _ in range(3)]
    answers = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers == {f"{machine.cache / 'vault' / '1.21.1' / 'vault'}\n"}
    assert len(machine.calls("go build")) == 1


def test_a_failed_build_shows_its_end_and_leaves_nothing(
    machine: Machine, parts: Parts, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert go.exists()
    monkeypatch.setenv("FAKE_GO_BROKEN", "1")
    result = parts("vault")
    assert (result.status, result.out) == (1, "")
    assert "undefined: everything" in result.err
    assert "build-vault.log" in result.err
    assert [path.name for path in (machine.cache / "vault").iterdir()] == [".1.21.1.lock"]
    monkeypatch.delenv("FAKE_GO_BROKEN")
    assert parts("vault").status == 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_that_was_stopped_is_never_taken_for_a_part(machine: Machine, go: Path, how: signal.Signals) -> None:
    assert go.exists()
    machine.environment["FAKE_GO_SECONDS"] = "20"
    process = machine.start("vault")
    give_up = time.monotonic() + 20
    while not machine.calls("go build"):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    process.send_signal(how)
    process.communicate(timeout=10)
    assert process.returncode != 0
    assert not (machine.cache / "vault" / "1.21.1").exists()
    machine.environment["FAKE_GO_SECONDS"] = "0"
    assert machine.run("vault").status == 0


def test_a_long_build_shows_that_it_is_alive(machine: Machine, go: Path) -> None:
    assert go.exists()
    machine.environment.update(FAKE_GO_SECONDS="1", VAB_PROGRESS_SECONDS="0.2")
    result = machine.run("vault")
    assert result.status == 0
    assert len(re.findall(r"^build-vault: \d+ s … compiling$", result.err, re.MULTILINE)) >= 2


def test_terraform_is_found_and_never_built(machine: Machine, parts: Parts) -> None:
    missing = parts("terraform")
    assert (missing.status, missing.out) == (3, "")
    assert "install Terraform" in missing.err
    machine.fake("terraform", 'echo "Terraform v1.5.7"')
    assert parts("terraform").status == 3
    tofu = machine.fake("tofu", 'echo "OpenTofu v1.10.0"')
    assert parts("terraform").out == f"{tofu}\n"
    newer = machine.fake("terraform", 'echo "Terraform v1.11.4"')
    assert parts("terraform").out == f"{newer}\n"


@pytest.mark.parametrize(("name", "host"), [("terraform", "registry.example"), ("tofu", "other.example")])
def test_the_provider_lies_where_the_program_itself_looks(
    machine: Machine, parts: Parts, go: Path, name: str, host: str
) -> None:
    assert go.exists()
    terraform(machine, name, host)
    result = parts("terraform-config")
    assert result.status == 0
    configuration = Path(result.out.strip())
    mirror = configuration.parent / "mirror"
    assert f'path    = "{mirror}"' in configuration.read_text()
    provider = mirror / host / "hashicorp/vault/3.3.1/linux_amd64/terraform-provider-vault_v3.3.1"
    assert provider.stat().st_mode & 0o111
    assert parts("terraform-config").out == result.out
    assert len(machine.calls("go build")) == 1


def test_a_terraform_that_tells_no_address_is_a_failure(machine: Machine, parts: Parts, go: Path) -> None:
    assert go.exists()
    machine.fake("terraform", '[ "$1" != version ] || echo "Terraform v1.11.4"')
    result = parts("terraform-config")
    assert result.status == 1
    assert "does not tell the address" in result.err


@pytest.mark.parametrize("part", [VAULT, PROVIDER, COMPOSE], ids=lambda part: part.name)
def test_what_is_built_is_what_the_module_file_pins(part: GoPart) -> None:
    text = (part.module / "go.mod").read_text()
    assert re.search(rf"^tool {re.escape(part.package)}$", text, re.MULTILINE)
    module = part.package.removesuffix("/cmd")
    pinned = re.search(rf"^(?:require )?\s*{re.escape(module)} v(\S+)", text, re.MULTILINE)
    assert pinned
    # The provider's module tags end long before its releases: its version is a commit's.
    assert pinned.group(1) == part.version or part is PROVIDER
    assert f"{module} v{pinned.group(1)} h1:" in (part.module / "go.sum").read_text()
