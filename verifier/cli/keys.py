"""``verifier keys``: make, show and rotate signing keys, and let the offline root sign answer keys. Shows nothing private."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import click

from verifier.adapters.keys.ceremony import SealedPaths, add_tenant, create_key_file, renew_answer_keys
from verifier.adapters.keys.signer_file import KeyFile, KeyInfo
from verifier.adapters.settings_source import load_settings
from verifier.cli.opened import CONFIG_OPTION, now_s
from verifier.core.console import Answer, Option, answers, options
from verifier.core.dumps import forbid_core_dumps
from verifier.core.settings import ALGORITHMS, Settings, SigningAlgorithm, check_settings
from verifier.formats.encoding import utc_time
from verifier.formats.errors import ConfigError
from verifier.formats.jwk import thumbprint

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
    forbid_core_dumps()


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


def _key_file(where: str) -> Option:
    return click.option("--key-file", type=_PATH, envvar="VAB_KEY_FILE", help=f"The key file{where}.")


def _passphrase(where: str, *, required: bool) -> Option:
    return click.option(
        "--passphrase-file",
        required=required,
        type=_PATH,
        envvar="VAB_KEY_PASSPHRASE_FILE",
        help=f"File with the passphrase of the key file{where}.",
    )


_OF_SETTINGS: Final = ". Without it: that of the settings"
# The environment of the options is the settings' own.
_key_options = options(
    "place", _KeyPlace, CONFIG_OPTION, _key_file(_OF_SETTINGS), _passphrase(_OF_SETTINGS, required=False)
)


def _root(root_file: Path, root_passphrase_file: Path) -> SealedPaths:
    return SealedPaths(root_file, root_passphrase_file)


_root_options = options(
    "root",
    _root,
    click.option("--root-file", required=True, type=_PATH, help="File of the offline root."),
    click.option(
        "--root-passphrase-file",
        required=True,
        type=_PATH,
        help="File with the passphrase of the root file; not that of the key file.",
    ),
)
_ALGORITHM = click.Choice(ALGORITHMS)
_ALGORITHM_OPTION = click.option(
    "--algorithm",
    default="ES256",
    show_default=True,
    type=_ALGORITHM,
    envvar="VAB_SIGNING_ALGORITHM",
    help="Algorithm of token keys.",
)


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
@_key_file(". Without it: var/keys.json")
@_passphrase("", required=True)
@_root_options
@_ALGORITHM_OPTION
@click.option(
    "--simulated",
    is_flag=True,
    envvar="VAB_SIMULATED",
    help="Make keys for forged TEEs. Only a simulated process takes them.",
)
@click.option("--existing-root", is_flag=True, help="Use an existing root, for a key file that was lost.")
@answers
def init(
    base_url: str,
    tenants: str,
    key_file: Path | None,
    passphrase_file: Path,
    root: SealedPaths,
    algorithm: SigningAlgorithm,
    simulated: bool,
    existing_root: bool,
) -> Answer:
    """Make the key file and its offline root.

    Print what images pin. Existing files are never overwritten.
    """
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
    public = create_key_file(
        keys,
        root,
        base_url=base_url,
        tenants=names,
        simulated=simulated,
        algorithm=algorithm,
        now=now_s(),
        is_new_root=not existing_root,
    )
    seq = KeyFile.for_operator(keys.file, keys.passphrase_file).answer_seq(names[0])
    made = {"key_file": str(keys.file), "root_file": str(root.file), "tenants": list(names), "simulated": simulated}
    lines = [f"made {keys.file} for {', '.join(names)}, and its root {root.file}", *_pin_lines(public, seq)]
    return Answer({"outcome": "made", **made, **_pin(public, seq)}, "\n".join(lines), hints=(_PIN_HINT,))


@command.command("list")
@_key_options
@answers
def list_keys(place: _KeyPlace) -> Answer:
    """List every key with its state.

    A token key is next, active or retired. An answer key is active or expired.
    """
    keys = place.open()
    found = keys.describe(now_s())
    about = {"base_url": keys.base_url, "simulated": keys.simulated}
    lines = [f"{keys.base_url}{' (simulated)' if keys.simulated else ''}", *(_line(key) for key in found)]
    return Answer({"outcome": "listed", **about, "keys": [asdict(key) for key in found]}, "\n".join(lines))


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
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Let the new key sign at once, also while a rotation is under way. A cache of the JWKS may not know it for its max-age.",
)
@answers
def rotate(place: _KeyPlace, tenant: str | None, algorithm: str | None, lead_s: int | None, *, at_once: bool) -> Answer:
    """Publish a new token key now.

    It signs when the lead is over. A rotation under way is not changed, except with --now: for when no key can sign, or the key that
    signs is not to sign any more. Keys that are to sign later stay.
    """
    if at_once and lead_s is not None:
        raise ConfigError("--now", "lead", lead_s, "no --lead beside it")
    keys = place.open(algorithm=algorithm or "", lead_s=place.lead_s() if lead_s is None else lead_s)
    if tenant is not None and tenant not in keys.tenants():
        raise ConfigError("--tenant", "tenant", tenant, f"one of {', '.join(keys.tenants())}")
    now = now_s()
    before = {key.kid for key in keys.describe(now)}
    keys.rotate_now(now, tenant, at_once=at_once)
    published = [key for key in keys.describe(now) if key.kid not in before]
    lines = [_line(key) for key in published] or [
        "no change: a new key is published already (--now: one that signs at once)"
    ]
    return Answer({"outcome": "rotated", "published": [asdict(key) for key in published]}, "\n".join(lines))


@command.command("sign-answer-keys")
@_key_options
@_root_options
@click.option(
    "--life-days", default=180, show_default=True, type=click.IntRange(1, 3650), help="Days until the set expires."
)
@answers
def sign_answer_keys(place: _KeyPlace, root: SealedPaths, life_days: int) -> Answer:
    """Make answer keys and sign them with the root.

    Every tenant gets a new answer key. The set gets a higher seq.
    """
    keys = place.open()
    seq = renew_answer_keys(keys, root, now=now_s(), life_s=life_days * _DAY_S)
    text = f"signed seq {seq} for {', '.join(keys.tenants())}, good for {life_days} days"
    return Answer({"outcome": "signed", "seq": seq, "tenants": list(keys.tenants())}, text)


@command.command("add-tenant")
@click.argument("tenant")
@_key_options
@_root_options
@_ALGORITHM_OPTION
@answers
def add(tenant: str, place: _KeyPlace, root: SealedPaths, algorithm: SigningAlgorithm) -> Answer:
    """Make the keys of one more tenant."""
    keys = place.open()
    add_tenant(keys, root, tenant, algorithm=algorithm, now=now_s())
    return Answer({"outcome": "added", "tenant": tenant, "issuer": keys.issuer(tenant)}, f"added {keys.issuer(tenant)}")


@command.command("show-root")
@_key_options
@answers
def show_root(place: _KeyPlace) -> Answer:
    """Print what images pin: public root key and seq."""
    keys = place.open()
    seq = min(keys.answer_seq(tenant) for tenant in keys.tenants())
    return Answer({"outcome": "shown", **_pin(keys.root_jwk(), seq)}, "\n".join(_pin_lines(keys.root_jwk(), seq)))


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
    until = "" if key.until is None else f", until {utc_time(key.until)}"
    return f"{key.tenant} {key.use} {key.state} {key.alg} {key.kid} from {utc_time(key.signs_from)}{until}"
