"""The settings as one frozen record, and the combinations that are refused at start, each by name.

Reading them (TOML, ``VAB_…`` environment, ``…_FILE``) is the adapter's (``adapters/settings_source``); this module is pure.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

from verifier.formats.addresses import is_network
from verifier.formats.encoding import is_name
from verifier.formats.errors import ConfigError

SigningAlgorithm = Literal["ES256", "ES384", "EdDSA", "RS256", "PS256"]
ALGORITHMS: tuple[SigningAlgorithm, ...] = ("ES256", "ES384", "EdDSA", "RS256", "PS256")

# Where vendors publish. A process for forged TEEs never asks them: a setting with this value means "none" there.
AMD_KDS = "https://kdsintf.amd.com"
INTEL_PCS = "https://api.trustedservices.intel.com"
NVIDIA_OCSP = "https://ocsp.ndis.nvidia.com"
INTEL_ROOT_CRL = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"

TOKEN_LIFE_MIN_S = 10
TOKEN_LIFE_MAX_S = 300
JWKS_MAX_AGE_MAX_S = 300
SKEW_MS = 5_000
COMMIT_WAIT_S = 10.0  # for a verdict's commit: one that waited for longer than the skew is refused for its time anyway
UNIX_PEER = "unix"
MAX_INTERVAL_S = 60
MAX_GRACE_S = 30 * 24 * 3600
MAX_REQUEST_BYTES = 4 * 1024 * 1024
MAX_LOG_BYTES = 1024 * 1024


class Settings(BaseModel):
    """Everything an operator can set. Paths are strings; secrets are never in here, only the files that hold them.

    ``docs/reference/settings.md`` is made from the meanings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_url: str = Field(
        description="the verifier's public address: https, no trailing slash; a tenant's issuer is `{base_url}/t/{tenant}`"
    )
    bind: str = Field(
        default="127.0.0.1:8443",
        description="where the service listens: address and port, or `unix:` and a path; without a certificate a loopback address",
    )
    tls_certificate: str = Field(
        default="", description="PEM file: the certificate of the service and its intermediates"
    )
    tls_key: str = Field(default="", description="PEM file: the private key of `tls_certificate`; both or neither")
    admin_bind: str = Field(
        default="127.0.0.1:8444",
        description="where health and metrics are served, without TLS: address and port, or `unix:` and a path",
    )
    trusted_proxies: tuple[str, ...] = Field(
        default=(),
        description="networks of the proxies in front, and `unix` for a Unix socket: only their X-Forwarded-For is believed",
    )
    behind_tls_proxy: bool = Field(
        default=False, description="TLS ends in front of this process, on the same machine or in the same enclave"
    )
    tenants: tuple[str, ...] = Field(
        default=("default",),
        description="the tenants that are served, each with an issuer and keys of its own; commas between them in the environment",
    )
    simulated: bool = Field(
        default=False, description="a process for forged TEEs: store, keys, JWKS and issuer of its own"
    )
    database_url: str = Field(
        default="sqlite:///var/verifier.db",
        description="the store: `sqlite:///` and a path, or `postgresql://…`",
    )
    key_file: str = Field(
        default="var/keys.json",
        description="the encrypted file of signing keys that `verifier keys init` makes; the store's mark lies beside it",
    )
    key_passphrase_file: str = Field(default="", description="file that holds the passphrase of `key_file`; required")
    trust_dir: str = Field(
        default="",
        description='folder of trust documents, compiled into the store at start and after each change; "": what the store holds',
    )
    trust_keys_file: str = Field(
        default="", description="JSON: tenants whose trust documents must be signed, and their keys"
    )
    trust_removal_grace_s: int = Field(
        default=24 * 3600,
        description="seconds for which a document that is gone from `trust_dir` stays in force, with an alarm, unless a manifest or"
        " `verifier policy accept` says that this is meant; 0: it goes at once",
    )
    endorsement_dir: str = Field(
        default="",
        description='folder of certificates bound to one machine and of CRLs, by scheme, which the operator keeps; "": none',
    )
    private_anchor_dir: str = Field(
        default="", description="an operator's own roots, by scheme: `{dir}/{scheme}/*.pem`"
    )
    collateral_dir: str = Field(
        default="var/collateral",
        description='cache of what vendors publish, filled by fetching and by bundles; "": none',
    )
    collateral_keys_file: str = Field(
        default="", description="JSON {name: public JWK}: whose collateral bundles are imported"
    )
    collateral_ca_file: str = Field(
        default="", description="PEM: CAs of the vendors' endpoints, in place of the usual ones"
    )
    collateral_cache_mib: int = Field(default=64, description="largest size of the cache, in MiB")
    collateral_queue: int = Field(
        default=200, description="fetches that may wait for chips that no identity lists, and as many for listed ones"
    )
    collateral_quota_per_source: int = Field(default=120, description="new fetches an hour for one address (IPv6: /64)")
    collateral_quota_per_tenant: int = Field(default=1200, description="new fetches an hour for one tenant")
    kds_url: str = Field(default=AMD_KDS, description='AMD KDS or a mirror; "": never asked')
    kds_interval_s: float = Field(
        default=5.0, description="least time between two calls, in seconds: AMD throttles at some ten seconds a call"
    )
    pcs_url: str = Field(default=INTEL_PCS, description='Intel PCS or a PCCS; "": never asked')
    pcs_is_pccs: bool = Field(
        default=False, description="`pcs_url` is a PCCS, which serves PCK certificates and the root CRL itself"
    )
    pcs_interval_s: float = Field(default=0.5, description="least time between two calls to `pcs_url`, in seconds")
    pcs_api_key_file: str = Field(
        default="", description="file that holds the subscription key, where the service asks for one"
    )
    intel_root_crl_url: str = Field(
        default=INTEL_ROOT_CRL, description="where the CRL of Intel's SGX root is; not used with a PCCS"
    )
    intel_tcb_update: Literal["early", "standard"] = Field(
        default="standard",
        description="which TCB info Intel is asked for: `early` has an update when Intel discloses it, `standard` later",
    )
    intel_tcb_evaluation_number: int = Field(
        default=0, description="TCB evaluation data number to ask for; 0: the newest of the set above"
    )
    nvidia_ocsp_url: str = Field(
        default="",
        description='NVIDIA\'s OCSP responder (https://ocsp.ndis.nvidia.com, not tried) or one in its place; "": never asked',
    )
    nvidia_ocsp_interval_s: float = Field(
        default=0.5, description="least time between two calls to `nvidia_ocsp_url`, in seconds"
    )
    workers: int = Field(default=0, description="processes that answer requests; 0: one a core")
    threads: int = Field(
        default=4,
        description="threads of each of these processes, for large evidence, enrolments, and a store on another machine",
    )
    run_worker: bool = Field(
        default=True,
        description="start the process that goes by the clock: it rotates keys, purges the store, fetches, re-reads trust documents",
    )
    signing_algorithm: SigningAlgorithm = Field(
        default="ES256", description="algorithm of new token keys: ES256, ES384, EdDSA, RS256 or PS256"
    )
    token_life_s: int = Field(default=60, description="seconds from the issue of a token to its expiry, 10 to 300")
    jwks_max_age_s: int = Field(default=60, description="`max-age` of JWKS and discovery document in seconds, 1 to 300")
    key_publish_lead_s: int = Field(
        default=600, description="seconds for which a new key is published before it signs; at least `jwks_max_age_s`"
    )
    signing_key_life_s: int = Field(
        default=30 * 24 * 3600,
        description="seconds for which a key signs before the next one does; more than twice `key_publish_lead_s`",
    )
    evidence_retention_days: int = Field(
        default=30, description="days for which the evidence of records is kept; 0: none is kept"
    )
    metrics_dir: str = Field(
        default="",
        description='folder of the metrics of all processes (PROMETHEUS_MULTIPROC_DIR); "": a fresh temporary one',
    )
    rate_per_minute: int = Field(
        default=600,
        description="requests a minute that one source address may send to one process, counted before any work is done",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="lowest level that is logged: debug, info, warning or error"
    )
    graceful_timeout_s: int = Field(
        default=20, description="seconds that requests in flight have to finish when the service stops"
    )

    def issuer(self, tenant: str) -> str:
        """Return the tenant's issuer URL; byte for byte what Vault's mount is told."""
        return f"{self.base_url}/t/{tenant}"


def _refuse(key: str, got: object, want: str) -> ConfigError:
    return ConfigError("settings", key, got, want)


def check_settings(settings: Settings) -> Settings:
    """Refuse unsafe or senseless combinations, each by name. Returns the same record."""
    url = urlsplit(settings.base_url)
    if url.scheme != "https" or not url.netloc or url.query or url.fragment or settings.base_url.endswith("/"):
        raise _refuse(
            "base_url", settings.base_url, "https://host[:port][/path] without query, fragment or trailing slash"
        )
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        raise _refuse("tls_key", settings.tls_key or None, "tls_certificate and tls_key together")
    host = settings.bind.rpartition(":")[0]
    if not settings.tls_certificate and not settings.behind_tls_proxy:
        raise _refuse("tls_certificate", None, "a certificate, or behind_tls_proxy = true")
    if not settings.tls_certificate and host not in ("127.0.0.1", "[::1]", "localhost", "unix"):
        raise _refuse("bind", settings.bind, "a loopback address where this process does not end TLS itself")
    _check_admin(settings)
    if not settings.tenants or len(set(settings.tenants)) != len(settings.tenants):
        raise _refuse("tenants", settings.tenants, "at least one tenant, each once")
    for tenant in settings.tenants:
        if not is_name(tenant):
            raise _refuse("tenants", tenant, "a name of a-z, 0-9 and inner hyphens, at most 63")
    if settings.signing_algorithm not in ALGORITHMS:
        raise _refuse("signing_algorithm", settings.signing_algorithm, f"one of {', '.join(ALGORITHMS)}")
    if not TOKEN_LIFE_MIN_S <= settings.token_life_s <= TOKEN_LIFE_MAX_S:
        raise _refuse("token_life_s", settings.token_life_s, f"{TOKEN_LIFE_MIN_S} to {TOKEN_LIFE_MAX_S}")
    if not 1 <= settings.jwks_max_age_s <= JWKS_MAX_AGE_MAX_S:
        raise _refuse("jwks_max_age_s", settings.jwks_max_age_s, f"1 to {JWKS_MAX_AGE_MAX_S}")
    if settings.key_publish_lead_s < settings.jwks_max_age_s:
        raise _refuse(
            "key_publish_lead_s", settings.key_publish_lead_s, "at least jwks_max_age_s: publish before signing"
        )
    if settings.signing_key_life_s <= 2 * settings.key_publish_lead_s:
        raise _refuse("signing_key_life_s", settings.signing_key_life_s, "more than twice key_publish_lead_s")
    if not settings.key_passphrase_file:
        raise _refuse("key_passphrase_file", None, "a file that holds the key file's passphrase")
    if settings.workers < 0 or settings.threads < 1:
        raise _refuse("workers", settings.workers, "0 (one per core) or more, and at least one thread")
    if settings.evidence_retention_days < 0:
        raise _refuse("evidence_retention_days", settings.evidence_retention_days, "0 (keep none) or more days")
    if not 0 <= settings.trust_removal_grace_s <= MAX_GRACE_S:
        raise _refuse("trust_removal_grace_s", settings.trust_removal_grace_s, f"0 (none) to {MAX_GRACE_S}")
    if settings.rate_per_minute < 1:
        raise _refuse("rate_per_minute", settings.rate_per_minute, "at least 1")
    _check_collateral(settings)
    return settings


def _check_admin(settings: Settings) -> None:
    if not settings.admin_bind or settings.admin_bind == settings.bind:
        raise _refuse("admin_bind", settings.admin_bind, "an address and port, or unix: and a path, other than bind")
    for text in settings.trusted_proxies:
        if text != UNIX_PEER and not is_network(text):
            raise _refuse("trusted_proxies", text, "a network such as 10.0.0.0/8, an address, or unix")


def _check_collateral(settings: Settings) -> None:
    for key in ("kds_url", "pcs_url", "intel_root_crl_url", "nvidia_ocsp_url"):
        value = getattr(settings, key)
        parts = urlsplit(value)
        if value and (parts.scheme != "https" or not parts.hostname or parts.username or parts.query or parts.fragment):
            raise _refuse(key, value, 'https://host[:port][/path], or "" for none')
    if settings.pcs_url and not settings.intel_root_crl_url and not settings.pcs_is_pccs:
        raise _refuse("intel_root_crl_url", "", "where the root CRL is, or pcs_is_pccs = true")
    for key in (
        "collateral_cache_mib",
        "collateral_queue",
        "collateral_quota_per_source",
        "collateral_quota_per_tenant",
    ):
        if getattr(settings, key) < 1:
            raise _refuse(key, getattr(settings, key), "at least 1")
    for key in ("kds_interval_s", "pcs_interval_s", "nvidia_ocsp_interval_s"):
        if not 0 <= getattr(settings, key) <= MAX_INTERVAL_S:
            raise _refuse(key, getattr(settings, key), f"0 to {MAX_INTERVAL_S} seconds")
    if settings.intel_tcb_evaluation_number < 0:
        raise _refuse("intel_tcb_evaluation_number", settings.intel_tcb_evaluation_number, "0 (the newest) or a number")
