"""From files into the store, all or none, once by digest; from the store to the service, whole and fast."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support import trust
from tests.support.stores import SEALER
from tests.support.threads import in_threads
from verifier.adapters.sql.store import open_store
from verifier.adapters.trust.compiling import compile_into
from verifier.adapters.trust.documents import (
    TrustCatalogue,
    load_demands,
    load_documents,
    load_single_policy,
)
from verifier.appraise.engine import appraise
from verifier.appraise.signatures import sign_document
from verifier.core.ports import TrustStore
from verifier.formats.encoding import b64url
from verifier.formats.errors import CannotDecide, ConfigError

KEY = ed25519.Ed25519PrivateKey.generate()
DEMANDS = {"acme": {"owner": KEY.public_key()}}
ALL = [*trust.identities(), trust.policy(), trust.workload()]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TrustStore]:
    if request.param == "memory":
        yield trust.MemoryTrust()
        return
    opened = open_store(f"sqlite:///{tmp_path}/store.sqlite3", SEALER, skew_ms=5_000)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "trust"
    path.mkdir()
    return path


def _write(folder: Path, documents: list[dict[str, Any]], name: str = "all.json") -> None:
    (folder / name).write_text(json.dumps(documents), encoding="utf-8")


def _compile(store: TrustStore, folder: Path, documents: list[dict[str, Any]] | None = None, **more: Any) -> bool:
    if documents is not None:
        _write(folder, documents)
    return compile_into(store, folder, schemes=trust.SCHEMES, **more).change is not None


def _catalogue(store: TrustStore, **more: Any) -> TrustCatalogue:
    return TrustCatalogue(store, schemes=trust.SCHEMES, **more)


def test_workload_is_found_with_its_compiled_policy(store: TrustStore, folder: Path) -> None:
    assert _compile(store, folder, ALL)
    found = _catalogue(store).workload("acme", "payments")
    assert found is not None
    workload, policy = found
    assert (workload.uuid, workload.policy, workload.enabled) == (trust.workload()["uuid"], "default", True)
    assert (workload.vault_address, workload.vault_mount, workload.vault_role) == (
        "https://vault.example:8200",
        "attested",
        "workload",
    )
    assert workload.vault_ca_pem == trust.ca_pem()
    assert appraise(trust.verified(), policy, trust.NOW).accepted


def test_what_is_no_workload_is_not_found(store: TrustStore, folder: Path) -> None:
    _compile(store, folder, ALL)
    catalogue = _catalogue(store)
    for tenant in ("acme", "", "other"):
        for name in ("", "nothing", "default", "chips", trust.workload()["uuid"], "+", "payments\n"):
            assert catalogue.workload(tenant, name) is None


def test_disabled_workload_is_found_and_says_so(store: TrustStore, folder: Path) -> None:
    _compile(store, folder, [*ALL[:-1], trust.workload(state="disabled")])
    found = _catalogue(store).workload("acme", "payments")
    assert found is not None
    assert not found[0].enabled


def test_same_files_are_not_compiled_again(store: TrustStore, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _compile(store, folder, ALL)
    with monkeypatch.context() as patch:
        patch.setattr("verifier.adapters.trust.compiling.parse_files", lambda *_arguments: pytest.fail("parsed"))
        assert not _compile(store, folder)
    (folder / "more.yaml").write_text("# moved\n" + json.dumps(trust.identity("platform", "more", {"min_svn": 1})))
    assert _compile(store, folder)


def test_other_models_or_keys_compile_the_same_files_again(store: TrustStore, folder: Path) -> None:
    signed = [sign_document(one, "owner", KEY) for one in ALL]
    assert _compile(store, folder, signed)
    assert store.high_water("trust:policy:acme:default") is None
    assert not _compile(store, folder, demands=DEMANDS)  # the same set, looked at under its keys
    assert store.high_water("trust:policy:acme:default") == 1
    models = {**trust.TOY.appraisal.models, "config": trust.ToyFirmware}
    with pytest.raises(ConfigError):
        compile_into(store, folder, schemes={"toy": trust.replace_models(trust.TOY, models)}, demands=DEMANDS)


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (trust.workload(name="other"), "uuid"),
        (trust.workload(uuid=str(uuid.uuid4())), "name"),
        (trust.policy(version=2), "name"),
        (trust.identities()[0], "version"),
        (trust.identity("firmware", "chips", {"boot": "b0000001"}, version=2), "kind"),
        (trust.workload(name="other", uuid=str(uuid.uuid4()), policy="nothing"), "policy"),
        (
            trust.workload(name="other", uuid=str(uuid.uuid4()), vault={**trust.workload()["vault"], "mount": "other"}),
            "audience",
        ),
        (trust.policy(name="other", unchecked=[]), "workload.extra"),
        ({"document": "nothing"}, "document"),
    ],
)
def test_one_wrong_document_leaves_the_store_as_it_was(
    store: TrustStore, folder: Path, document: dict[str, Any], key: str
) -> None:
    _compile(store, folder, ALL)
    before = store.trust_digest()
    with pytest.raises(ConfigError) as caught:
        _compile(store, folder, [*ALL, document])
    assert caught.value.key == key
    assert caught.value.where.startswith("all.json#7")
    assert store.trust_digest() == before
    assert _catalogue(store).workload("acme", "payments") is not None


def test_uuid_keeps_its_tenant_and_name(store: TrustStore, folder: Path) -> None:
    _compile(store, folder, ALL)
    with pytest.raises(ConfigError, match="a new uuid"):
        _compile(store, folder, [*ALL[:-1], trust.workload(name="renamed")])
    moved = [{**one, "tenant": "other"} for one in ALL]
    with pytest.raises(ConfigError, match="a new uuid"):
        _compile(store, folder, moved)
    _compile(store, folder, [*ALL[:-1], trust.workload(uuid=str(uuid.uuid4()))])


def test_uuid_of_a_workload_that_is_gone_is_not_used_again(store: TrustStore, folder: Path) -> None:
    """It is the subject in Vault: whoever got it later would be the one that is gone."""
    _compile(store, folder, ALL)
    _compile(store, folder, ALL[:-1])
    with pytest.raises(ConfigError, match="a new uuid"):
        _compile(store, folder, [*ALL[:-1], trust.workload(name="heir")])
    _compile(store, folder, ALL, accepted=True)


def _signed(*changes: dict[str, Any]) -> list[dict[str, Any]]:
    documents = [*ALL]
    for change in changes:
        documents = [
            one for one in documents if (one["document"], one["name"]) != (change["document"], change["name"])
        ] + [change]
    return [sign_document(one, "owner", KEY) for one in documents]


def test_rollback_is_refused_where_signatures_are_demanded(store: TrustStore, folder: Path) -> None:
    newer = trust.policy(version=5, exceptions={"allow_debug": False})
    _compile(store, folder, _signed(newer), demands=DEMANDS)
    with pytest.raises(ConfigError, match="rollback"):
        _compile(store, folder, _signed(), demands=DEMANDS)
    _compile(store, folder, _signed(trust.policy(version=6)), demands=DEMANDS)


def test_rollback_by_way_of_leaving_out_is_refused(store: TrustStore, folder: Path) -> None:
    """What was compiled is replaced whole; the mark stays, so that taking a document away does not bring its past back."""
    second = trust.workload(name="second", uuid=str(uuid.uuid4()))
    more = [sign_document(one, "owner", KEY) for one in (trust.policy(name="extra", version=3),)]
    _compile(store, folder, [*_signed(), *more], demands=DEMANDS)
    _compile(store, folder, _signed(second), demands=DEMANDS)
    less = sign_document(trust.policy(name="extra", version=2), "owner", KEY)
    with pytest.raises(ConfigError, match="rollback"):
        _compile(store, folder, [*_signed(), less], demands=DEMANDS)


def test_documents_that_are_refused_raise_no_mark(store: TrustStore, folder: Path) -> None:
    """One that is rolled back refuses them all: what the others would have raised must not forbid what comes next."""
    extra = [sign_document(trust.policy(name="extra", version=version), "owner", KEY) for version in (3, 2)]
    _compile(store, folder, [*_signed(), extra[0]], demands=DEMANDS)
    with pytest.raises(ConfigError, match="rollback"):
        _compile(store, folder, [*_signed(trust.policy(version=5)), extra[1]], demands=DEMANDS)
    assert store.high_water("trust:policy:acme:default") == 1
    assert _compile(store, folder, [*_signed(trust.policy(version=2)), extra[0]], demands=DEMANDS)
    assert store.high_water("trust:policy:acme:default") == 2


def test_withdrawn_version_of_an_identity_does_not_leave_the_older_one_on_top(store: TrustStore, folder: Path) -> None:
    newest = trust.policy(firmware=[{"name": "boot", "version": "newest"}])
    patched = sign_document(
        trust.identity("firmware", "boot", {"boot": "b0000001", "level": 0}, version=2), "owner", KEY
    )
    _compile(store, folder, [*_signed(newest), patched], demands=DEMANDS)
    with pytest.raises(ConfigError, match="rollback"):
        _compile(store, folder, _signed(newest), demands=DEMANDS)


def test_one_version_has_one_content_where_signatures_are_demanded(store: TrustStore, folder: Path) -> None:
    _compile(store, folder, _signed(), demands=DEMANDS)
    with pytest.raises(ConfigError, match="other content"):
        _compile(store, folder, _signed(trust.policy(exceptions={"allow_debug": True})), demands=DEMANDS)


def test_unsigned_tenant_may_edit_in_place(store: TrustStore, folder: Path) -> None:
    _compile(store, folder, ALL)
    assert _compile(store, folder, [*ALL[:-2], trust.policy(exceptions={"allow_debug": True}), ALL[-1]])


class _Time:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_new_documents_are_seen_within_a_second(store: TrustStore, folder: Path) -> None:
    clock = _Time()
    catalogue = _catalogue(store, monotonic=clock)
    assert catalogue.workload("acme", "payments") is None
    _compile(store, folder, ALL)
    clock.now = 1.0
    assert catalogue.workload("acme", "payments") is not None
    _compile(store, folder, [*ALL[:-1], trust.workload(state="disabled")])
    clock.now = 1.9
    found = catalogue.workload("acme", "payments")
    assert found is not None
    assert found[0].enabled
    clock.now = 2.0
    found = catalogue.workload("acme", "payments")
    assert found is not None
    assert not found[0].enabled


def test_found_again_without_asking_the_store(folder: Path) -> None:
    memory = trust.MemoryTrust()
    _compile(memory, folder, ALL)
    catalogue = _catalogue(memory, monotonic=_Time())
    catalogue.workload("acme", "payments")
    before = memory.reads
    first, second = (catalogue.workload("acme", "payments") for _ in range(2))
    assert memory.reads == before
    assert first is not None
    assert second is not None
    assert first[1] is second[1]


def test_cost_of_a_lookup_does_not_grow_with_the_number_of_workloads(folder: Path) -> None:
    """Counted, not timed: reads of the store for a workload never seen before."""
    reads = []
    for count in (10, 1_000):
        memory = trust.MemoryTrust()
        workloads = [trust.workload(name=f"w{index}", uuid=str(uuid.uuid4())) for index in range(count)]
        _compile(memory, folder, [*ALL[:-1], *workloads])
        catalogue = _catalogue(memory, monotonic=_Time())
        catalogue.workload("acme", "w0")
        before = memory.reads
        assert catalogue.workload("acme", f"w{count - 1}") is not None
        reads.append(memory.reads - before)
    assert reads[0] == reads[1] == 1


def test_cache_is_bounded(folder: Path) -> None:
    memory = trust.MemoryTrust()
    workloads = [trust.workload(name=f"w{index}", uuid=str(uuid.uuid4())) for index in range(9)]
    _compile(memory, folder, [*ALL[:-1], *workloads])
    catalogue = _catalogue(memory, size=4)
    for index in range(9):
        assert catalogue.workload("acme", f"w{index}") is not None
    for index in range(100):
        assert catalogue.workload("acme", f"none{index}") is None
    assert len(catalogue._generation.workloads) == 4


def test_documents_replaced_while_being_read_never_mix(folder: Path) -> None:
    """The policy is read after the workload: replaced in between, both are read again."""

    class Swapping(trust.MemoryTrust):
        swap: Callable[[], object] | None = None

        def trust_document(self, kind: str, tenant: str, name: str, version: int | None = None) -> str | None:
            body = super().trust_document(kind, tenant, name, version)
            if kind == "workload" and self.swap is not None:
                swap, self.swap = self.swap, None
                swap()
            return body

    memory = Swapping()
    store = memory
    _compile(store, folder, ALL)
    later = [*trust.identities(), trust.policy(name="second", version=2), trust.workload(policy="second", version=2)]
    memory.swap = lambda: _compile(store, folder, later)
    found = _catalogue(store).workload("acme", "payments")
    assert found is not None
    assert (found[0].policy, found[1].name) == ("second", "second")


@pytest.mark.parametrize(
    ("kind", "name", "body"),
    [
        ("workload", "payments", "{"),
        ("workload", "payments", "[]"),
        ("workload", "payments", json.dumps(trust.workload(name="other"))),
        ("workload", "payments", json.dumps(trust.policy())),
        ("policy", "default", json.dumps(trust.policy(unchecked=[]))),
        ("policy", "default", None),
        ("identity", "chips", None),
    ],
)
def test_what_was_not_compiled_into_the_store_decides_nothing(
    folder: Path, kind: str, name: str, body: str | None
) -> None:
    memory = trust.MemoryTrust()
    _compile(memory, folder, ALL)
    versions = memory.rows[(kind, "acme", name)]
    versions.clear()
    if body is not None:
        versions[1] = body
    with pytest.raises(CannotDecide) as caught:
        _catalogue(memory).workload("acme", "payments")
    assert caught.value.check_id == "service.trust"


def test_hand_in_the_database_is_seen_where_signatures_are_demanded(folder: Path) -> None:
    memory = trust.MemoryTrust()
    _compile(memory, folder, _signed(), demands=DEMANDS)
    assert _catalogue(memory, demands=DEMANDS).workload("acme", "payments") is not None
    row = memory.rows[("policy", "acme", "default")]
    row[1] = json.dumps({**json.loads(row[1]), "exceptions": {"allow_debug": True}})
    with pytest.raises(CannotDecide, match="does not verify"):
        _catalogue(memory, demands=DEMANDS).workload("acme", "payments")


def test_many_threads_find_the_same(store: TrustStore, folder: Path) -> None:
    workloads = [trust.workload(name=f"w{index}", uuid=str(uuid.uuid4())) for index in range(30)]
    _compile(store, folder, [*ALL[:-1], *workloads])
    catalogue = _catalogue(store, size=5, digest_life_s=0.0)
    wrong: list[str] = []

    def look() -> None:
        for index in range(60):
            name = f"w{index % 30}"
            found = catalogue.workload("acme", name)
            if found is None or found[0].name != name:
                wrong.append(name)

    in_threads(6, look)
    assert wrong == []


def test_forked_process_is_not_stuck_behind_a_lock_of_its_parent(folder: Path) -> None:
    memory = trust.MemoryTrust()
    _compile(memory, folder, ALL)
    catalogue = _catalogue(memory)
    with catalogue._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if catalogue.workload("acme", "payments") is not None else 1)
        assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [("a.yml", "a: 1", "file"), ("a.toml", "", "file"), ("LICENSE", "", "file"), ("a.yaml", "a: yes", "scalar")],
)
def test_file_that_is_no_document_file_is_refused_not_passed_over(
    folder: Path, name: str, content: str, key: str
) -> None:
    _write(folder, ALL)
    (folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_documents(folder, schemes=trust.SCHEMES)
    assert caught.value.key == key
    assert caught.value.where.startswith(name)


def test_folders_are_walked_and_hidden_names_and_readmes_are_not_documents(folder: Path) -> None:
    (folder / "acme" / "deep").mkdir(parents=True)
    (folder / "..data").mkdir()
    (folder / "..data" / "a.yaml").write_text("broken: [", encoding="utf-8")
    (folder / "README.md").write_text("# not a document", encoding="utf-8")
    (folder / ".git").write_text("", encoding="utf-8")
    _write(folder / "acme" / "deep", ALL[:-1])
    _write(folder / "acme", ALL[-1:], "workloads.json")
    documents = load_documents(folder, schemes=trust.SCHEMES)
    assert documents.workloads[("acme", "payments")].where == "acme/workloads.json#1"


@pytest.mark.parametrize("missing", [True, False])
def test_folder_without_documents_is_refused(folder: Path, missing: bool) -> None:  # noqa: FBT001
    with pytest.raises(ConfigError) as caught:
        load_documents(folder / "nothing" if missing else folder, schemes=trust.SCHEMES)
    assert caught.value.key == "folder"


def test_single_policy_of_a_file(folder: Path) -> None:
    _write(folder, ALL)
    assert load_single_policy(folder / "all.json", "toy", schemes=trust.SCHEMES).name == "default"
    assert load_single_policy(folder, "toy", schemes=trust.SCHEMES).name == "default"
    with pytest.raises(ConfigError, match="0 policies for other"):
        load_single_policy(folder, "other", schemes=trust.SCHEMES)


def test_keys_of_tenants_that_demand_signatures_come_from_a_file_of_their_own(
    store: TrustStore, folder: Path, tmp_path: Path
) -> None:
    x = b64url(KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"acme": {"owner": {"kty": "OKP", "crv": "Ed25519", "x": x}}}), encoding="utf-8")
    with pytest.raises(ConfigError, match="signed_by"):
        _compile(store, folder, ALL, demands=load_demands(str(keys)))
    assert _compile(store, folder, _signed(), demands=load_demands(str(keys)))
    assert load_demands("") == {}
    with pytest.raises(ConfigError, match="a readable JSON file"):
        load_demands(str(tmp_path / "nothing.json"))
