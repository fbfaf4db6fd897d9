"""Stand-ins for the base images of docker-compose.yml, for a machine that can pull none."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tools.realparts.cache import build_once, locked
from tools.realparts.debian import os_release
from tools.realparts.docker import compose, docker, dockerd
from tools.realparts.errors import MissingToolError
from tools.realparts.hashicorp import mirror_configuration, terraform, terraform_config, vault
from tools.realparts.places import ROOT, cache_root, command
from tools.realparts.running import ask, run_long, say

SUITE = "bookworm"
_ROOTFS_IMAGE = f"vab-standin/rootfs:{SUITE}"
# To be raised when what goes into the file tree changes.
_RECIPE = f"{SUITE}-1"
_RECIPE_LABEL = "org.vault-attestation-bridge.recipe"
_SETTINGS = """\
# Written by tools/parts.py for `docker compose --env-file`: stand-ins in the place of images that are pulled.
VAB_PYTHON_IMAGE=vab-standin/python:3.11-bookworm
VAB_VAULT_IMAGE=vab-standin/vault:local
VAB_TERRAFORM_IMAGE=vab-standin/terraform:local
"""
_CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")


def images() -> Path:
    """Make the stand-ins and return a file that sets the variables of docker-compose.yml to them."""
    client = docker()
    compose()
    dockerd()
    rootfs = build_once("images", _RECIPE, "rootfs.tar", lambda fresh, _final: _bootstrap(fresh))
    settings = cache_root() / "images" / "images.env"
    with locked(settings.with_suffix(".lock")):
        _import(client, rootfs)
        _build(client)
        settings.write_text(_SETTINGS)
    return settings


def _bootstrap(fresh: Path) -> None:
    """Make a smallest Debian, as one file: docker keeps its images elsewhere, and they are soon thrown away there."""
    program = command("debootstrap")
    if program is None or os.geteuid() != 0:
        raise MissingToolError("The stand-in images need `debootstrap` (a Debian package), run by root.")
    say("Stand-in images: a smallest Debian, about a minute")
    tree = fresh / "tree"
    options = ["--variant=minbase", "--include=ca-certificates"]
    run_long("debootstrap", [program, *options, SUITE, tree, *_mirror()])
    shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
    run_long("pack-rootfs", ["tar", "-C", tree, "--numeric-owner", "-cf", fresh / "rootfs.tar", "."])
    shutil.rmtree(tree)


def _mirror() -> list[str]:
    """Return the Debian mirror that this machine itself uses, or nothing for debootstrap's own default."""
    release = os_release()
    if release.get("ID") != "debian":
        return []
    wanted = ["Created-By: Packages", f"Codename: {release.get('VERSION_CODENAME', SUITE)}"]
    answer = ask(["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]) or ""
    return answer.split()[:1]


def _import(client: Path, rootfs: Path) -> None:
    label = f'{{{{index .Config.Labels "{_RECIPE_LABEL}"}}}}'
    if ask([client, "image", "inspect", "--format", label, _ROOTFS_IMAGE]) == _RECIPE:
        return
    run_long("docker-import", [client, "import", "--change", f"LABEL {_RECIPE_LABEL}={_RECIPE}", rootfs, _ROOTFS_IMAGE])


def _build(client: Path) -> None:
    """Build the stand-ins on top; Docker's own cache makes this short where nothing has changed."""
    folder = ROOT / "tools" / "images"
    with tempfile.TemporaryDirectory(dir=cache_root() / "images") as name:
        _fill(Path(name))
        run_long(
            "build-images",
            [client, "compose", "--file", folder / "compose.yml", "--progress", "plain", "build"],
            env={"VAB_IMAGES_CONTEXT": name, "VAB_IMAGES_DOCKERFILE": str(folder / "Dockerfile")},
        )


def _fill(context: Path) -> None:
    """Lay out what the stand-ins are built from: the engine of Debian 12 knows one context a build, no more."""
    bundle = Path(os.environ.get("SSL_CERT_FILE") or _CA_BUNDLE)
    shutil.copyfile(bundle if bundle.exists() else _CA_BUNDLE, context / "ca-certificates.crt")
    (context / "terraform.rc").write_text(mirror_configuration(Path("/opt/terraform/mirror")))
    _link(vault(), context / "vault")
    _link(terraform(), context / "terraform")
    shutil.copytree(terraform_config().parent / "mirror", context / "mirror", copy_function=_link)


def _link(source: str | Path, target: str | Path) -> None:
    """Put a file at a second place without a second copy where the disk allows it."""
    source = Path(source).resolve()
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
