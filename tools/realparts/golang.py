"""Parts that are built from Go's module index: Vault, the Terraform provider, Docker Compose."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tools.realparts.errors import MissingToolError
from tools.realparts.places import ROOT, command
from tools.realparts.running import ask, run_long, say
from tools.realparts.versions import dotted, find_version


@dataclass(frozen=True)
class GoPart:
    """One program: the folder of tools/ with its go.mod and go.sum, the package in it, and how it is built."""

    name: str
    title: str
    version: str
    package: str
    minutes: str
    tags: str = ""

    @property
    def module(self) -> Path:
        """The folder whose go.mod pins the program and all it is made of."""
        return ROOT / "tools" / self.name


def build_go(part: GoPart, target: Path) -> None:
    """Build one program into a file."""
    go = _go_for(part)
    say(f"{part.title} {part.version}: building from Go modules, about {part.minutes} from nothing on two cores")
    tags = ["-tags", part.tags] if part.tags else []
    # -s -w: these are not debugged, and it halves the file. nice: other programs go first.
    flags = ["-trimpath", "-buildvcs=false", *tags, "-ldflags", "-s -w"]
    polite: list[str | Path] = ["nice"] if command("nice") else []
    run_long(
        f"build-{part.name}",
        [*polite, go, "build", *flags, "-o", target, part.package],
        cwd=part.module,
        # A static program also runs in a container of another libc; a caller's own flags would change what is built.
        env={"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"},
    )


def platform(part: GoPart) -> str:
    """Return what Go builds for on this machine, as linux_amd64."""
    answer = ask([_go_for(part), "env", "GOOS", "GOARCH"])
    if not answer:
        raise MissingToolError(f"`go env` does not answer: install Go to build {part.title}.")
    return "_".join(answer.split())


def _go_for(part: GoPart) -> Path:
    """Return the go command, new enough for the part's go.mod or able to fetch a newer one."""
    wanted = find_version(_go_line(part.module / "go.mod")) or (1,)
    go = command("go")
    if go is None:
        raise MissingToolError(
            f"{part.title} is not on PATH and has to be built, and there is no `go`: "
            f"install Go {dotted(wanted)} or newer (go.dev/dl), or {part.title} itself."
        )
    found = find_version(ask([go, "env", "GOVERSION"], cwd=Path(os.sep)))
    local = ask([go, "env", "GOTOOLCHAIN"], cwd=Path(os.sep)) == "local"
    if found is None or (found < wanted and local):
        raise MissingToolError(
            f"Building {part.title} needs Go {dotted(wanted)} or newer, and {go} is "
            f"{dotted(found) if found else 'of no version it tells'}: install a newer Go (go.dev/dl)."
        )
    return go


def _go_line(module_file: Path) -> str:
    match = re.search(r"^go (\S+)$", module_file.read_text(), re.MULTILINE)
    return match.group(1) if match else ""
