"""``make demo``: five steps on real parts, each printed with what it proves; then ten attacks, each refused by its check."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tools.demo.attacks import ATTACKS
from tools.demo.processes import DemoError, Processes, interruptible, real_part
from tools.demo.scene import Scene, must, raise_scene

SECRET = "secret/data/default/web/db#password"  # noqa: S105 - a path in Vault, not a secret
_START = time.monotonic()


def say(text: str) -> None:
    """Print a line with the time since the start."""
    print(f"[{time.monotonic() - _START:6.1f} s] {text}", flush=True)


def _step(number: int, title: str, proof: str) -> None:
    print(f"\n  step {number}  {title}\n          proved: {proof}", flush=True)


def five_steps(scene: Scene) -> None:
    """Walk the way that every workload walks, with the attester's own commands."""
    for host in (scene.web, scene.db):
        enrolled = json.loads(must(scene.attester(host, "enrol", "--format", "json")))
    say(f"both attestation keys enrolled by credential activation (the last: {enrolled['ak_name'][:20]}…)")
    token_file = scene.memory / "token.jwt"
    done = json.loads(must(scene.attester(scene.web, "token", "--out", str(token_file), "--format", "json")))
    with scene.verifier.store() as store:
        record = store.records_after(0, 1_000)[-1]
    _step(1, "attestation", f"quote of a known TPM, bound to fresh keys and this request: record {record.seq}, "
          f"{record.outcome}, scheme {record.scheme}, policy {record.policy}")  # fmt: skip
    _step(
        2,
        "the token",
        f"JWT of {token_file.stat().st_size} bytes, {record.jti}, encrypted to the attested key and opened there",
    )
    mode = oct(token_file.stat().st_mode & 0o777)
    _step(3, "its injection into the workload", f"{done['file']}: memory-backed, mode {mode}")
    token_file.unlink()
    login = scene.memory / "vault.token"
    must(scene.attester(scene.web, "login", "--out", str(login), "--format", "json"))
    lookup = scene.vault.call("GET", "auth/token/lookup-self", token=login.read_text(encoding="ascii").strip()).json()[
        "data"
    ]
    _step(4, "the request for a secret", f"stock Vault checked JWT and role: policies {lookup['policies']}, {lookup['ttl']} s left, "
          f"renewable {lookup['renewable']}, measurement-bound alias of workload {lookup['meta']['workload']}")  # fmt: skip
    login.unlink()
    shown = must(scene.attester(
        scene.web, "exec", "--env", f"DB_PASSWORD={SECRET}", "--",
        sys.executable, "-c", "import os; print(len(os.environ['DB_PASSWORD']))",
    ))  # fmt: skip
    _step(5, "its delivery", f"over TLS under the CA that the signed answer names, into the environment of a child: "
          f"{shown.strip()} characters, seen by it alone")  # fmt: skip


def attacks(scene: Scene) -> int:
    """Make every attack; returns how many were not refused by the check that is meant for them."""
    print("\n  attacks", flush=True)
    wrong = 0
    for attack in ATTACKS:
        refusal = attack.run(scene)
        right = refusal.by == attack.by and attack.check in refusal.check
        wrong += not right
        mark = "refused" if right else "WRONG  "
        print(f"  {mark}  {attack.title}: by the {refusal.by}: {refusal.check}", flush=True)
        if not right:
            print(f"           want: by the {attack.by}: {attack.check}", flush=True)
    return wrong


def run() -> int:
    """Run the demo in a folder that is gone afterwards."""
    for part in ("vault", "terraform", "terraform-config"):
        real_part(part, show=True)
    prefix = f"vab-demo-{os.getpid()}-"  # says whose it is, where several run
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    memory = Path(tempfile.mkdtemp(prefix=prefix, dir="/dev/shm"))
    try:
        with Processes(folder) as processes:
            scene = raise_scene(folder, memory, processes, say)
            five_steps(scene)
            wrong = attacks(scene)
        print(flush=True)
        say(
            f"{len(ATTACKS) - wrong} of {len(ATTACKS)} attacks refused, each by the right check; everything is stopped and removed"
        )
        return 1 if wrong else 0
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(memory, ignore_errors=True)


def main() -> int:
    """Entry: 0 when all was shown and refused, 1 when an attack got through, 3 when a part is missing, 130 when interrupted."""
    try:
        with interruptible():
            return run()
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        print("demo: interrupted; everything is stopped and removed", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
