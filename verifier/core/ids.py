"""The ids of every no that belongs to no scheme. A member is its id, a plain string wherever it is shown, compared or stored.

Ids are part of the API and never renamed. What each means and what to do about it stands in ``checks.toml``, beside this file.
"""

from __future__ import annotations

from enum import StrEnum


class WireId(StrEnum):
    """A request that cannot be read, or is not signed by its own key."""

    BODY = "wire.body"
    HTTP = "wire.http"
    SIZE = "wire.size"
    SLOW = "wire.slow"
    MEDIA_TYPE = "wire.media-type"
    JWS = "wire.jws"
    JWS_HEADER = "wire.jws.header"
    KEYS = "wire.keys"
    NONCE = "wire.nonce"
    SIGNATURE = "wire.signature"
    SCHEME = "wire.evidence.scheme"
    PARTS = "wire.evidence.parts"
    COMPONENTS = "wire.evidence.components"
    ENDORSEMENTS = "wire.evidence.endorsements"


class ServiceId(StrEnum):
    """What the service refuses whatever the evidence says, and what it cannot do now."""

    ROUTE = "service.route"
    METHOD = "service.method"
    RATE = "service.rate"
    BUSY = "service.busy"
    BUG = "service.bug"
    TENANT = "service.tenant"
    NONCE_MAC = "service.nonce.mac"
    NONCE_EPOCH = "service.nonce.epoch"
    NONCE_EXPIRED = "service.nonce.expired"
    NONCE_SPENT = "service.nonce.spent"
    CLOCK = "service.clock"
    STORE = "service.store"
    SEAL = "service.store.seal"
    RECORD_CHAIN = "service.record.chain"
    TRUST = "service.trust"
    KEYS = "service.keys"
    ANSWER_KEYS = "service.keys.answer"
    QUOTA = "service.collateral.quota"
    QUEUE = "service.collateral.queue"
    FETCHER = "service.collateral.fetcher"
    CACHE = "service.collateral.cache"
    BUNDLE = "service.collateral.bundle"
    WORKER = "service.worker"
    LOG = "service.log"
    DISK = "service.disk"


class BindingId(StrEnum):
    """The comparison that every scheme has: the user data, early (step 3) and after the checks (step 5)."""

    USER_DATA = "binding.user-data"


class PolicyId(StrEnum):
    """Why genuine evidence is not wanted, where no rule of its scheme says so."""

    # What a caller is told, whatever the reason: which reference value was missed, that the workload does not exist or is disabled,
    # goes to the record alone.
    REFUSED = "policy.refused"
    SCHEME = "policy.scheme"
    NOTHING = "policy.nothing"
    WINDOW = "policy.identity.window"
    WORKLOAD = "policy.workload"
    WORKLOAD_STATE = "policy.workload.state"
    AUDIENCE = "policy.audience"
    ACCEPTED = "policy.accepted"
    BOUND = "policy.bound"
    ROOT = "policy.root"
    DEBUG = "policy.debug"
    NAME = "policy.name"


class TrustId(StrEnum):
    """Why the trust documents of a folder are not taken, or not all of their changes. What was in force stays in force."""

    OLDER = "trust.set.older"
    DIVERGING = "trust.set.diverging"
    MANIFEST = "trust.set.manifest"
    BROKEN = "trust.set.broken"
    REMOVAL = "trust.set.removal"


class LintId(StrEnum):
    """A warning about trust documents."""

    UNMEASURED = "lint.unmeasured"
    INDISTINCT = "lint.indistinct"
    NEWEST = "lint.newest"
    WINDOW = "lint.window"
    DEBUG = "lint.debug"
    LOOSE = "lint.loose"


class ArtifactId(StrEnum):
    """An artifact that reference values cannot be computed from."""

    OVMF = "identity.artifact.ovmf"
    ID_BLOCK = "identity.artifact.id-block"
    ID_AUTH = "identity.artifact.id-auth"
    EIF = "identity.artifact.eif"
    EIF_SIGNATURE = "identity.artifact.eif.signature"
    CERTIFICATE = "identity.artifact.certificate"
    TDVF = "identity.artifact.tdvf"
    UKI = "uki.decode.image"
