"""The Terraform module: its own tests, its examples, and a second plan that changes nothing, against a real Vault."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.issuer import workload_uuid
from tests.support.terraform import terraform
from tests.support.vault import ROOT, VaultServer
from verifier.appraise.text import read_documents

MODULE = ROOT / "vault-config"


def test_a_second_plan_changes_nothing(house: Any) -> None:
    for tenant, module in house.modules.items():
        answer = module.has_no_drift()
        assert answer.returncode == 0, f"{tenant}: {answer.stdout}"


def test_a_change_by_hand_shows_in_the_plan(house: Any) -> None:
    """The opposite of the test above: a role that somebody loosened is noticed."""
    role = "auth/attestation-rival/role/shared"
    as_applied = house.vault.as_root("GET", role).body["data"]
    house.vault.as_root("POST", role, as_applied | {"clock_skew_leeway": 3600})
    try:
        answer = house.modules["rival"].has_no_drift()
    finally:
        house.vault.as_root("POST", role, as_applied)

    assert answer.returncode == 2, answer.stdout
    assert "clock_skew_leeway" in answer.stdout


def test_terraforms_own_tests_pass(house: Any, empty_vault: VaultServer, module_copy: Path) -> None:
    variables = {"issuer": house.issuer.issuer("acme"), "ca_pem": house.issuer.ca_file.read_text()}
    module = terraform(empty_vault, module_copy, variables)
    module.init()

    answer = module.run("test", "-no-color")

    assert answer.returncode == 0, answer.stdout
    runs = sum(path.read_text().count("\nrun ") for path in (module_copy / "tests").glob("*.hcl"))
    assert f"{runs} passed, 0 failed" in answer.stdout
    assert runs > 40


def test_files_are_formatted_and_valid(house: Any, module_copy: Path) -> None:
    module = terraform(house.vault, module_copy, {})
    assert module.run("fmt", "-check", "-recursive", "-no-color").stdout == ""
    module.init()
    assert module.run("validate", "-no-color").returncode == 0


# By example: its variables besides the verifier and the trust documents, and where the workloads are to go.
EXAMPLES: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {
    "jwks": (
        {},
        [("default", "attestation-default", "confidential"), ("default", "attestation-default", "per-machine")],
    ),
    "discovery": (
        {
            "tenants": {
                "acme": {"one": {"kind": "workload"}},
                "rival": {"two": {"kind": "measurement", "tees": ["tdx"]}},
            }
        },
        [("acme", "attestation-acme", "one"), ("rival", "attestation-rival", "two")],
    ),
    "demo": ({}, [("default", "attestation", "demo"), ("acme", "simulated", "production")]),
}


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_applies_and_plans_clean(
    house: Any, empty_vault: VaultServer, module_copy: Path, tmp_path: Path, example: str
) -> None:
    variables, places = EXAMPLES[example]
    verifier = {"verifier_url": house.issuer.base_url, "verifier_ca_file": str(house.issuer.ca_file)}
    if example == "demo":
        mounts = {mount: verifier | {"tenant": tenant, "audience": f"vault/{mount}"} for tenant, mount, _ in places}
        mounts["simulated"]["roles"] = {"production": {"kind": "workload"}}
        variables = variables | {"mounts": mounts}
    else:
        variables = variables | verifier
    write_trust(tmp_path / "trust", places)
    root = terraform(
        empty_vault, module_copy / "examples" / example, variables | {"trust_dir": str(tmp_path / "trust")}
    )
    root.init()

    root.apply()

    answer = root.has_no_drift()
    assert answer.returncode == 0, answer.stdout
    for number, (_, mount, role) in enumerate(places):
        applied = empty_vault.as_root("GET", f"auth/{mount}/role/{role}").body["data"]
        assert applied["bound_claims"]["workload"] == [f"work-{number}"]
        assert {"root", "simulated", "host_excluded", "dbgstat"} <= applied["bound_claims"].keys()


def write_trust(folder: Path, places: list[tuple[str, str, str]]) -> None:
    """Write workload documents as a trust owner does: several a file, older versions and other kinds among them."""
    documents = ["# Identities may stand in the same file.\ndocument: identity\nname: x\ntenant: acme\nversion: 1"]
    for number, (tenant, mount, role) in enumerate(places):
        uuid = workload_uuid(tenant, f"work-{number}")
        documents += [
            f"document: workload\nname: work-{number}\ntenant: {tenant}\nversion: {version}\n"
            f"uuid: '{uuid}'\npolicy: policy-{version}\naudience: vault/{mount}\n"
            f"vault:\n  address: https://vault.example\n  mount: {mount}\n  role: {role}\n"
            "  ca_pem: |\n    -----BEGIN CERTIFICATE-----\n    AA==\n    -----END CERTIFICATE-----\n"
            "state: enabled"
            for version in (1, 10, 9)
        ]
    folder.mkdir()
    (folder / "all.yaml").write_text("\n---\n".join(documents) + "\n")


def test_terraform_reads_what_the_verifier_reads(house: Any, module_copy: Path, tmp_path: Path) -> None:
    """The examples of policies/trust, and files written in every form that the verifier takes."""
    trust = tmp_path / "trust"
    shutil.copytree(ROOT / "policies" / "trust", trust, ignore=shutil.ignore_patterns("*.md"))
    write_trust(trust / "more", EXAMPLES["discovery"][1])
    document = {"document": "workload", "name": "by-json", "tenant": "acme", "version": 1, "labels": {"a": "[1]"}}
    (trust / "one.json").write_text(json.dumps(document))
    (trust / "two.json").write_text(json.dumps([document | {"name": "by-array"}, document | {"name": "by-array-2"}]))
    (trust / "marks.yaml").write_bytes(
        b"--- # first\r\ndocument: workload\r\nname: by-mark\r\ntenant: acme\r\nversion: 1\r\n---  \r\n# none\r\n"
        b"document: workload\r\nname: by-mark-2\r\ntenant: acme\r\nversion: 2\r\ntext: |\r\n  one\r\n  ---\r\n"
    )
    (trust / ".hidden.yaml").write_text("document: workload\nname: hidden\ntenant: acme\nversion: 1\n")
    module = terraform(house.vault, module_copy / "modules" / "workloads", {"trust_dir": str(trust)})
    module.init()
    module.apply()

    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted([*trust.rglob("*.yaml"), *trust.rglob("*.json")]):
        if not path.name.startswith("."):
            for plain in read_documents(path.name, path.read_bytes(), json_form=path.suffix == ".json"):
                key = (plain.value["tenant"], plain.value["name"])
                if (
                    plain.value["document"] == "workload"
                    and plain.value["version"] > newest.get(key, {"version": 0})["version"]
                ):
                    newest[key] = plain.value
    assert len(newest) >= 7
    assert module.outputs()["workloads"] == [newest[key] for key in sorted(newest, key="/".join)]


def test_terraform_needs_no_more_than_the_policy_that_compose_gives_it(
    house: Any, empty_vault: VaultServer, module_copy: Path, tmp_path: Path
) -> None:
    """It writes the mount, its roles and policies, and reads no secret (docs/vault.md, "Running the module")."""
    policy = (ROOT / "deploy" / "compose" / "terraform-policy.hcl").read_text()
    empty_vault.as_root("PUT", "sys/policies/acl/terraform", {"policy": policy})
    made = empty_vault.as_root("POST", "auth/token/create", {"policies": ["terraform"], "no_default_policy": True})
    limited = replace(empty_vault, root_token=made.body["auth"]["client_token"])
    write_trust(tmp_path / "trust", EXAMPLES["jwks"][1])
    verifier = {"verifier_url": house.issuer.base_url, "verifier_ca_file": str(house.issuer.ca_file)}
    root = terraform(limited, module_copy / "examples" / "jwks", verifier | {"trust_dir": str(tmp_path / "trust")})
    root.init()

    root.apply()

    assert root.has_no_drift().returncode == 0
    empty_vault.put_secret("default/web/db", {"at": "default/web/db"})
    assert limited.call("GET", "secret/data/default/web/db", token=limited.root_token).status == 403


def test_every_variable_and_output_says_what_it_is() -> None:
    for name in ("variables.tf", "outputs.tf"):
        blocks = re.split(r"^(?=(?:variable|output) )", (MODULE / name).read_text(), flags=re.MULTILINE)[1:]
        assert blocks
        for block in blocks:
            assert "description = " in block, block.splitlines()[0]
            assert name == "outputs.tf" or re.search(r"^  type +=", block, re.MULTILINE), block.splitlines()[0]


def test_the_readme_lists_every_variable_and_output() -> None:
    readme = (MODULE / "README.md").read_text()
    for name in ("variables.tf", "outputs.tf"):
        for found in re.findall(r'^(?:variable|output) "(\w+)"', (MODULE / name).read_text(), re.MULTILINE):
            assert f"`{found}`" in readme, found
