"""What the commands share: the options, the order in which a configuration is measured and obeyed, and hints.

The order is the security of it: (1) options that say which machine this is, and what the image lets an outside configuration
choose, (2) the provider is opened, (3) the exact bytes of the configuration are measured, (4) only then are they read, (5) compared
with what the image allows, and obeyed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from attester.providers import Machine, SimulatedScheme
from verifier.core.console import FORMAT_OPTION, Answer, failure, options, prints
from verifier.core.dumps import forbid_core_dumps
from verifier.formats.errors import BridgeError, ConfigError

if TYPE_CHECKING:
    from attester.answer import Opened
    from attester.memfile import MemoryFile
    from attester.patience import Patience
    from attester.providers import Provider
    from attester.settings import Trust

# option -> (section, key) of the configuration
_TRUST_OPTIONS = {
    "verifier_url": ("verifier", "url"),
    "verifier_ca": ("verifier", "ca_file"),
    "issuer": ("verifier", "issuer"),
    "root": ("verifier", "root_file"),
    "root_lowest_seq": ("verifier", "root_lowest_seq"),
    "tenant": ("workload", "tenant"),
    "workload": ("workload", "name"),
    "audience": ("workload", "audience"),
}
_MACHINE_OPTIONS = tuple(field.name for field in fields(Machine) if field.name != "lock_folder")


def _handle(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Read a handle such as 0x81010001."""
    del context
    if value is None:
        return None
    try:
        return int(value, 0)
    except ValueError:
        raise click.BadParameter(f"got {value!r}, want a number such as 0x81010001", param=parameter) from None


_OPTIONS = (
    click.option(
        "--config",
        type=click.Path(path_type=Path),
        help="File with the configuration (TOML). It is measured before it is obeyed.",
    ),
    click.option(
        "--config-in-image",
        is_flag=True,
        help="Say that configuration and options are part of the measured image, where the host cannot change them.",
    ),
    click.option(
        "--image-file",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="File of the measured image that says what --config may choose."
        "  [default: /etc/vault-attestation-bridge/image.toml]",
    ),
    click.option("--verifier-url", help="Base URL of the verifier."),
    click.option("--verifier-ca", metavar="FILE", help="File with the CA of the verifier's certificate (PEM)."),
    click.option("--issuer", help="Issuer URL of the tenant."),
    click.option("--root", metavar="FILE", help="File with the offline root of answer keys (public JWK)."),
    click.option("--root-lowest-seq", type=int, help="Lowest seq of a set of answer keys that is believed."),
    click.option("--tenant", help="Tenant of the workload."),
    click.option("--workload", help="Name of the workload."),
    click.option("--audience", help="Audience of the workload, which names one Vault mount."),
)
MACHINE_OPTIONS = (
    click.option("--provider", help="Source of evidence: auto, configfs-tsm, tpm2 or simulated.  [default: auto]"),
    click.option("--tcti", help="TCTI of the TPM.  [default: device:/dev/tpmrm0]"),
    click.option("--ak-kind", type=click.Choice(["ecc", "rsa"]), help="Kind of the attestation key.  [default: ecc]"),
    click.option("--ak-handle", callback=_handle, help="Persistent handle of an attestation key to use instead."),
    click.option("--ek-handle", callback=_handle, help="Persistent handle of the endorsement key."),
    click.option("--pcrs", help="PCRs to quote.  [default: 0-9,11-15]"),
    click.option("--event-log", metavar="FILE", help='File with the measured boot log; "" for none.'),
    click.option(
        "--ima-list", metavar="FILE", help="File with the list of measured files, sent with PCR 10.  [default: none]"
    ),
    click.option("--config-pcr", type=int, help="PCR that the configuration is measured into.  [default: 15]"),
    click.option("--configfs", metavar="DIR", help="Report folder of configfs-tsm."),
    click.option("--cc-event-log", metavar="FILE", help='File with the boot log of a trust domain (TDX); "" for none.'),
    click.option("--privlevel", type=int, help="VMPL that the SNP report is asked for."),
    click.option(
        "--simulated-scheme",
        type=click.Choice(get_args(SimulatedScheme)),
        metavar="SCHEME",
        help="Scheme to forge, such as tdx. docs/attester.md lists them.  [default: sev-snp]",
    ),
    click.option(
        "--simulated-host-data",
        metavar="HEX",
        help="Value that the forged host sets at launch: HOST_DATA, MRCONFIGID, CONFIGID.",
    ),
)


_WAIT = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=90.0,
    show_default=True,
    help="Try the whole way for at most this many seconds.",
)
OUT_OPTION = click.option(
    "--out", default="", help="Memory-backed file; - for standard output.  [default: in a folder of the attester]"
)
_GATHERED = options("options", dict, *_OPTIONS, *MACHINE_OPTIONS, _WAIT)


def attester_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options; they arrive as ``options`` (a dict) and ``output_format``."""
    return _GATHERED(FORMAT_OPTION(command))


def answers(command: Callable[..., Answer]) -> Callable[..., None]:
    """Give a command all options, print its answer, with hints beside every no, and leave with its exit code."""

    @functools.wraps(command)
    def hinting(**given: Any) -> Answer:
        try:
            return command(**given)
        except (BridgeError, ConfigError) as error:
            return explained(error)

    return attester_options(prints(hinting))


@dataclass(frozen=True, slots=True)
class Session:
    """An open machine and, where the command needs it, the obeyed configuration."""

    provider: Provider
    trust: Trust
    patience: Patience

    def attest(self) -> Opened:
        """Attest, patiently."""
        return self.patience.repeat(self.attest_once)

    def attest_once(self) -> Opened:
        """Attest once, with new keys."""
        from attester.flow import attest_once, verifier_client

        client = verifier_client(self.trust, self.patience.left)
        return attest_once(client, self.trust, self.provider, lambda: int(time.time()))


def machine_of(options: dict[str, Any], document: dict[str, dict[str, Any]] | None = None, where: str = "") -> Machine:
    """Build the machine from a configuration of the image and from options; options win."""
    from attester.settings import machine_from

    values = dict((document or {}).get("machine", {}))
    values |= {name: options[name] for name in _MACHINE_OPTIONS if options[name] is not None}
    return machine_from(values, where or "command line")


@contextlib.contextmanager
def session(options: dict[str, Any]) -> Iterator[Session]:
    """Open the machine, measure the configuration, obey it: in this order (see the module)."""
    from attester.image import IMAGE_FILE, read_image, require_allowed
    from attester.patience import Patience
    from attester.providers import opened
    from attester.settings import parse_config, read_config, trust_from

    forbid_core_dumps()
    patience = Patience(options["wait"])
    path: Path | None = options["config"]
    given = [name for name in _TRUST_OPTIONS if options[name] is not None]
    in_image: bool = options["config_in_image"]
    if given and not in_image:
        option = f"--{given[0].replace('_', '-')}"
        want = (
            "no such option: the measured --config says whom to trust. If the command line is part of the measured image, "
            "add --config-in-image"
        )
        raise ConfigError("command line", option, options[given[0]], want)
    if path is None and not in_image:
        raise ConfigError("command line", "--config", None, "a configuration, or --config-in-image and options")
    where = str(path) if path else "command line"
    content = read_config(path) if path else b"version = 1\n"
    if in_image:
        document = parse_config(content, where, in_image=True)
        for name in given:
            section, key = _TRUST_OPTIONS[name]
            table = document.setdefault(section, {})
            table.pop(key.removesuffix("_file"), None)
            table[key] = options[name]
        with opened(machine_of(options, document, where)) as provider:
            yield Session(provider, trust_from(document, where), patience)
        return
    allowed = read_image(options["image_file"] or IMAGE_FILE)
    with opened(machine_of(options)) as provider:
        provider.measure_config(content)
        trust = trust_from(parse_config(content, where, in_image=False), where)
        require_allowed(trust, allowed, where)
        yield Session(provider, trust, patience)


def explained(error: BridgeError | ConfigError) -> Answer:
    """Word an error, with what to do next."""
    answer = failure(error)
    if isinstance(error, ConfigError):
        return answer
    from attester.problems import hint_for

    hint = hint_for(error.check_id)
    data = {**answer.data, **({"hint": hint} if hint else {})}
    return replace(answer, data=data, hints=(hint,) if hint else ())


def output_path(out: str, name: str) -> Path:
    """Return where a secret goes: the named file, or one of ours in memory. Refused now, before anything is asked for."""
    from attester.memfile import default_folder, require_memory_folder

    path = Path(out) if out else default_folder(os.environ) / name
    require_memory_folder(path.parent)
    return path


def swap_hint() -> tuple[str, ...]:
    """Warn where memory may reach a disk: tmpfs is swapped out like any other memory."""
    with contextlib.suppress(OSError):
        devices = Path("/proc/swaps").read_text(encoding="utf-8").splitlines()[1:]
        if any(not line.startswith("/dev/zram") for line in devices):
            return ("swap is on: the kernel may write tmpfs to disk; turn it off or use encrypted swap",)
    return ()


def deliver(value: bytes, path: Path | None, what: str, facts: dict[str, Any]) -> Answer:
    """Write a secret to memory and answer where it is; ``None`` means that standard output was asked for by ``-``."""
    from attester.memfile import unwritten, write

    if path is None:
        with unwritten("standard output"):
            sys.stdout.buffer.write(value)
            sys.stdout.buffer.flush()
        raise SystemExit(0)

    file: MemoryFile = write(path, value)
    return Answer({**facts, "outcome": "done", "file": str(file.path)}, f"{what}: {file.path}", hints=swap_hint())
