"""``attester evidence``: fresh evidence to look at, or to write an identity from. It asks no server and proves nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attester.cli.shared import answers, machine_of, session
from verifier.core.console import Answer
from verifier.formats.errors import ConfigError

if TYPE_CHECKING:
    from attester.providers import Provider
    from verifier.core.envelope import Envelope

_SIZES = {"whole": 64, "short": 32}


@click.command()
@answers
@click.option("--report-data", metavar="HEX", help="User data of the evidence: 64 bytes, 32 for a TPM.")
@click.option("--nonce", help="Bind the evidence to this nonce (base64url), the configured workload and new keys.")
@click.option("--out-dir", type=click.Path(path_type=Path), help="Write each part to a file PART.bin in this folder.")
def command(options: dict[str, Any], report_data: str | None, nonce: str | None, out_dir: Path | None) -> Answer:
    """Print new evidence.

    The output is an evidence envelope (JSON). It holds no secret, and no login accepts it. Look at it, or write an identity from
    it.
    """
    if (report_data is None) == (nonce is None):
        raise ConfigError("command line", "--report-data, --nonce", None, "one of them")
    if report_data is not None:
        from attester.providers import opened

        with opened(machine_of(options)) as provider:
            return _answer(_with_report_data(provider, report_data), out_dir)
    with session(options) as here:
        from attester.flow import bind
        from attester.keys import RequestKeys

        digest = bind(here.trust, RequestKeys.fresh(), _nonce(nonce or ""))
        return _answer(here.provider.collect(digest), out_dir)


def _with_report_data(provider: Provider, text: str) -> Envelope:
    from verifier.core.binding import BindingDigest

    size = _SIZES[provider.size]
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(value) != size:
        raise ConfigError("command line", "--report-data", text, f"{2 * size} hex digits for {provider.scheme}")
    # The provider takes the one of its size; the other is never looked at.
    return provider.collect(BindingDigest(whole=value, short=value))


def _nonce(text: str) -> bytes:
    from verifier.core.binding import NONCE_SIZE
    from verifier.formats.encoding import unb64url

    try:
        nonce = unb64url(text)
    except ValueError:
        nonce = b""
    if len(nonce) != NONCE_SIZE:
        raise ConfigError("command line", "--nonce", text, f"{NONCE_SIZE} bytes in base64url")
    return nonce


def _parts(evidence: Envelope) -> dict[str, bytes]:
    """Return parts and endorsements, those of components as the verifier names them: ``sev_snp.report``."""
    found = {**evidence.parts, **evidence.endorsements}
    for component in evidence.components:
        prefix = component.scheme.replace("-", "_")
        found |= {f"{prefix}.{name}": content for name, content in _parts(component).items()}
    return found


def _answer(evidence: Envelope, out_dir: Path | None) -> Answer:
    envelope = evidence.as_json()
    if out_dir is None:
        return Answer(envelope, json.dumps(envelope, indent=2))
    from attester.memfile import unwritten

    files = []
    with unwritten(f"--out-dir {out_dir}"):
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, content in _parts(evidence).items():
            file = out_dir / f"{name}.bin"
            file.write_bytes(content)
            files.append(str(file))
    return Answer({"scheme": evidence.scheme, "files": files}, f"{evidence.scheme}: {' '.join(files)}")
