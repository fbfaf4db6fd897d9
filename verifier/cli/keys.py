"""``verifier keys``: make, show and rotate signing keys, and let the offline root sign answer keys. Shows nothing private."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from verifier.adapters.clock import SystemClock
from verifier.adapters.keys.ceremony import SealedPaths, add_tenant, create_key_file, renew_answer_keys
from verifier.adapters.keys.signer_file import KeyFile, KeyInfo
from verifier.adapters.settings_source import load_settings
from verifier.cli.opened import CONFIG_OPTION
from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.core.settings import ALGORITHMS, Settings, SigningAlgorithm, check_settings
from verifier.formats.errors import ConfigError
from verifier.formats.jwk import thumbprint

F = TypeVar("F", bound=Callable[..., None])
_DAY_S: Final = 86_400
_DEFAULTS: Final[dict[str, Any]] = {name: field.default for name, field in Settings.model_fields.items()}
_PATH = click.Path(dir_okay=False, path_type=Path)
_PIN_HINT = (
    "keep the root file and its passphrase offline: with both, an attacker can pose as the verifier to every workload"
)


@click.group("keys")
def command() -> None:
    """Make, show and rotate keys.

    No command prints a private key.
    """


@dataclass(frozen=True, slots=True)
class _KeyPlace:
    """Which key file is meant: the one of the options, else the one of the settings."""

    config: str | None
    key_file: Path | None
    passphrase_file: Path | None

    def paths(self) -> SealedPaths:
        """Return key file and passphrase file; the settings are read only where an option is missing."""
        if self.key_file is not None and self.passphrase_file is not None:
            return SealedPaths(self.key_file, self.passphrase_file)
        if self.config is None:
            if self.passphrase_file is None:
                raise ConfigError(
                    "command line", "--passphrase-file", None, "a file, or --config with settings that name it"
                )
            return SealedPaths(Path(_DEFAULTS["key_file"]), self.passphrase_file)
        settings = load_settings(self.config)
        return SealedPaths(
            self.key_file or Path(settings.key_file), self.passphrase_file or Path(settings.key_passphrase_file)
        )

    def open(self, **rules: Any) -> KeyFile:
        """Open the key file for an operator."""
        paths = self.paths()
        return KeyFile.for_operator(paths.file, paths.passphrase_file, **rules)

    def lead_s(self) -> int:
        """Return how long before it signs a key is published: as the settings say, or by default."""
        return (
            int(_DEFAULTS["key_publish_lead_s"])
            if self.config is None
            else load_settings(self.config).key_publish_lead_s
        )


def _file_options(*, required: bool) -> Callable[[F], F]:
    """Add the two options that name a key file; their environment is the settings' own."""

    def add(function: F) -> F:
        where = "" if required else ". Without it: that of the settings"
        for option in (
            click.option(
                "--passphrase-file",
                required=required,
                type=_PATH,
                envvar="VAB_KEY_PASSPHRASE_FILE",
                help=f"File with the passphrase of the key file{where}.",
            ),
            click.option(
                "--key-file",
                type=_PATH,
                envvar="VAB_KEY_FILE",
                help=f"The key file{where or '. Without it: var/keys.json'}.",
            ),
        ):
            function = option(function)
        return function

    return add


def _key_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that name a key file, or the settings that do, and hand them on as one ``place``."""

    @functools.wraps(function)
    def placed(config: str | None, key_file: Path | None, passphrase_file: Path | None, **rest: Any) -> None:
        function(place=_KeyPlace(config, key_file, passphrase_file), **rest)

    return CONFIG_OPTION(_file_options(required=False)(placed))


def _root_options(function: F) -> F:
    """Add the two options that name the offline root's file."""
    for option in (
        click.option(
            "--root-passphrase-file",
            required=True,
            type=_PATH,
            help="File with the passphrase of the root file; not that of the key file.",
        ),
        click.option("--root-file", required=True, type=_PATH, help="File of the offline root."),
    ):
        function = option(function)
    return function


_ALGORITHM = click.Choice(ALGORITHMS)


@command.command("init")
@click.option(
    "--base-url", required=True, envvar="VAB_BASE_URL", help="Base of the issuer URLs: {base_url}/t/{tenant}."
)
@click.option(
    "--tenants",
    default="default",
    show_default=True,
    envvar="VAB_TENANTS",
    help="Names of the tenants, with commas between them.",
)
@_file_options(required=True)
@_root_options
@click.option(
    "--algorithm",
    default="ES256",
    show_default=True,
    type=_ALGORITHM,
    envvar="VAB_SIGNING_ALGORITHM",
    help="Algorithm of token keys.",
)
@click.option(
    "--simulated",
    is_flag=True,
    envvar="VAB_SIMULATED",
    help="Make keys for forged TEEs. Only a simulated process takes them.",
)
@click.option("--existing-root", is_flag=True, help="Use an existing root, for a key file that was lost.")
@FORMAT_OPTION
def init(
    base_url: str,
    tenants: str,
    key_file: Path | None,
    passphrase_file: Path,
    root_file: Path,
    root_passphrase_file: Path,
    algorithm: SigningAlgorithm,
    simulated: bool,
    existing_root: bool,
    output_format: str,
) -> None:
    """Make the key file and its offline root.

    Print what images pin. Existing files are never overwritten.
    """

    def body() -> Answer:
        names, keys = tuple(tenants.split(",")), SealedPaths(key_file or Path(_DEFAULTS["key_file"]), passphrase_file)
        check_settings(
            Settings(
                base_url=base_url,
                tenants=names,
                simulated=simulated,
                signing_algorithm=algorithm,
                key_passphrase_file=str(passphrase_file),
                behind_tls_proxy=True,
            )
        )
        root = create_key_file(
            keys,
            SealedPaths(root_file, root_passphrase_file),
            base_url=base_url,
            tenants=names,
            simulated=simulated,
            algorithm=algorithm,
            now=_now(),
            is_new_root=not existing_root,
        )
        seq = KeyFile.for_operator(keys.file, keys.passphrase_file).answer_seq(names[0])
        made = {"key_file": str(keys.file), "root_file": str(root_file), "tenants": list(names), "simulated": simulated}
        lines = [f"made {keys.file} for {', '.join(names)}, and its root {root_file}", *_pin_lines(root, seq)]
        return Answer({"outcome": "made", **made, **_pin(root, seq)}, "\n".join(lines), hints=(_PIN_HINT,))

    run(output_format, body)


@command.command("list")
@_key_options
@FORMAT_OPTION
def list_keys(place: _KeyPlace, output_format: str) -> None:
    """List every key with its state.

    A token key is next, active or retired. An answer key is active or expired.
    """

    def body() -> Answer:
        keys = place.open()
        found = keys.describe(_now())
        about = {"base_url": keys.base_url, "simulated": keys.simulated}
        lines = [f"{keys.base_url}{' (simulated)' if keys.simulated else ''}", *(_line(key) for key in found)]
        return Answer({"outcome": "listed", **about, "keys": [asdict(key) for key in found]}, "\n".join(lines))

    run(output_format, body)


@command.command("rotate")
@_key_options
@click.option("--tenant", help="Rotate the keys of this tenant. Without it: of all.")
@click.option("--algorithm", type=_ALGORITHM, help="Algorithm of the new key. Without it: that of the newest key.")
@click.option(
    "--lead",
    "lead_s",
    type=click.IntRange(60),
    help="Seconds until the new key signs. Without it: those of the settings, or 600.",
)
@FORMAT_OPTION
def rotate(place: _KeyPlace, tenant: str | None, algorithm: str | None, lead_s: int | None, output_format: str) -> None:
    """Publish a new token key now.

    It signs when the lead is over. A rotation under way is not changed.
    """

    def body() -> Answer:
        keys = place.open(algorithm=algorithm or "", lead_s=place.lead_s() if lead_s is None else lead_s)
        if tenant is not None and tenant not in keys.tenants():
            raise ConfigError("--tenant", "tenant", tenant, f"one of {', '.join(keys.tenants())}")
        before = {key.kid for key in keys.describe(_now())}
        keys.rotate_now(_now(), tenant)
        published = [key for key in keys.describe(_now()) if key.kid not in before]
        lines = [_line(key) for key in published] or ["no change: a new key is published already"]
        return Answer({"outcome": "rotated", "published": [asdict(key) for key in published]}, "\n".join(lines))

    run(output_format, body)


@command.command("sign-answer-keys")
@_key_options
@_root_options
@click.option(
    "--life-days", default=180, show_default=True, type=click.IntRange(1, 3650), help="Days until the set expires."
)
@FORMAT_OPTION
def sign_answer_keys(
    place: _KeyPlace,
    root_file: Path,
    root_passphrase_file: Path,
    life_days: int,
    output_format: str,
) -> None:
    """Make answer keys and sign them with the root.

    Every tenant gets a new answer key. The set gets a higher seq.
    """

    def body() -> Answer:
        keys = place.open()
        root = SealedPaths(root_file, root_passphrase_file)
        seq = renew_answer_keys(keys, root, now=_now(), life_s=life_days * _DAY_S)
        text = f"signed seq {seq} for {', '.join(keys.tenants())}, good for {life_days} days"
        return Answer({"outcome": "signed", "seq": seq, "tenants": list(keys.tenants())}, text)

    run(output_format, body)


@command.command("add-tenant")
@click.argument("tenant")
@_key_options
@_root_options
@click.option(
    "--algorithm",
    default="ES256",
    show_default=True,
    type=_ALGORITHM,
    envvar="VAB_SIGNING_ALGORITHM",
    help="Algorithm of token keys.",
)
@FORMAT_OPTION
def add(
    tenant: str,
    place: _KeyPlace,
    root_file: Path,
    root_passphrase_file: Path,
    algorithm: SigningAlgorithm,
    output_format: str,
) -> None:
    """Make the keys of one more tenant."""

    def body() -> Answer:
        keys = place.open()
        add_tenant(keys, SealedPaths(root_file, root_passphrase_file), tenant, algorithm=algorithm, now=_now())
        return Answer(
            {"outcome": "added", "tenant": tenant, "issuer": keys.issuer(tenant)}, f"added {keys.issuer(tenant)}"
        )

    run(output_format, body)


@command.command("show-root")
@_key_options
@FORMAT_OPTION
def show_root(place: _KeyPlace, output_format: str) -> None:
    """Print what images pin: public root key and seq."""

    def body() -> Answer:
        keys = place.open()
        seq = min(keys.answer_seq(tenant) for tenant in keys.tenants())
        return Answer({"outcome": "shown", **_pin(keys.root_jwk(), seq)}, "\n".join(_pin_lines(keys.root_jwk(), seq)))

    run(output_format, body)


def _now() -> int:
    return SystemClock().now_ms() // 1000


def _pin(root: dict[str, str], seq: int) -> dict[str, Any]:
    return {"root": root, "root_thumbprint": thumbprint(root), "lowest_seq": seq}


def _pin_lines(root: dict[str, str], seq: int) -> list[str]:
    members = ", ".join(f'{name} = "{value}"' for name, value in root.items())
    return [
        "pin in every image (attester configuration, section [verifier]):",
        f"  root = {{ {members} }}",
        f"  root_lowest_seq = {seq}",
        f"root thumbprint: {thumbprint(root)}",
    ]


def _line(key: KeyInfo) -> str:
    until = "" if key.until is None else f", until {_time(key.until)}"
    return f"{key.tenant} {key.use} {key.state} {key.alg} {key.kid} from {_time(key.signs_from)}{until}"


def _time(moment: int) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
