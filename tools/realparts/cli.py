"""The command line: one subcommand a part, the answer alone on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType

from tools.realparts.debian import GROUPS, debian
from tools.realparts.docker import compose, dockerd, stop_dockerd
from tools.realparts.errors import PartError
from tools.realparts.hashicorp import terraform, terraform_config, vault
from tools.realparts.images import images
from tools.realparts.oracles import oracles
from tools.realparts.running import say
from tools.realparts.uv import uv

_USAGE = 64
_INTERRUPTED = 130


@dataclass(frozen=True)
class Part:
    """A subcommand: what help says of it, and what finds or makes the part and returns the lines to print."""

    help: str
    get: Callable[[argparse.Namespace], list[str]]


def _dockerd(arguments: argparse.Namespace) -> list[str]:
    if arguments.stop:
        stop_dockerd()
        return []
    return [str(dockerd())]


PARTS: dict[str, Part] = {
    "debian": Part("install the Debian packages that are missing; prints their names", lambda a: debian(a.group)),
    "uv": Part("uv, to make the virtualenv", lambda _: [str(uv())]),
    "vault": Part("Vault, from PATH or built", lambda _: [str(vault())]),
    "terraform": Part("Terraform or OpenTofu, from PATH", lambda _: [str(terraform())]),
    "terraform-config": Part(
        "the provider for Vault; prints what TF_CLI_CONFIG_FILE is to name", lambda _: [str(terraform_config())]
    ),
    "oracles": Part("other people's verifiers, for the differential tests", lambda _: [str(oracles())]),
    "compose": Part("Docker Compose, installed as a plugin for this user", lambda _: [str(compose())]),
    "dockerd": Part("a Docker engine, started where none answers; prints its socket", _dockerd),
    "images": Part(
        "stand-ins for the base images of docker-compose.yml; prints a file for --env-file", lambda _: [str(images())]
    ),
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        """Say what is wrong, with the status that every program of this project has for it."""
        self.print_usage(sys.stderr)
        self.exit(_USAGE, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tools/parts.py", description=__doc__)
    commands = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, part in PARTS.items():
        command = commands.add_parser(name, help=part.help, description=part.help)
        if name == "debian":
            command.add_argument("--for", dest="group", choices=GROUPS, default="all", help="what they are wanted for")
        if name == "dockerd":
            command.add_argument("--stop", action="store_true", help="stop the engine that this program started")
    commands.add_parser("all", help="every part, one after the other").set_defaults(group="all", stop=False)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand and return the exit status: 3 where something is to be installed first."""
    chosen = _parser().parse_args(arguments)
    try:
        if chosen.part == "all":
            for name, part in PARTS.items():
                _one(name, part, chosen, prefix=f"{name} ")
        else:
            _one(chosen.part, PARTS[chosen.part], chosen)
    except PartError as error:
        say(f"{chosen.part}: {error}")
        return error.status
    except KeyboardInterrupt:
        say(f"{chosen.part}: interrupted")
        return _INTERRUPTED
    return 0


def _one(name: str, part: Part, arguments: argparse.Namespace, prefix: str = "") -> None:
    started = time.monotonic()
    for line in part.get(arguments):
        print(prefix + line)
    if prefix:
        say(f"{name}: {time.monotonic() - started:.0f} s")


def run(arguments: Sequence[str]) -> int:
    """Run as a program of its own, which ends on SIGTERM as on Ctrl-C: the child stopped, half-made folders removed."""
    # SIGINT too: a process that a shell starts in the background inherits that it is ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    return main(arguments)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
