"""The demo cleans up after itself, also when it is interrupted half-way, also in a shell's background."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.swtpm import require_swtpm
from tests.support.vault import part
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[3]
MEMORY = Path("/dev/shm")


def _mentions(path: Path) -> list[str]:
    """Command lines of running processes that name a path."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(path) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    require_swtpm()
    for name in ("vault", "terraform", "terraform-config"):
        part(name)
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "tools.demo"], cwd=ROOT, stdout=out, stderr=out, env={**os.environ, "TMPDIR": str(tmp_path)},
            # As a shell does it for what it starts in the background.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - one call, no lock
        )  # fmt: skip

        def is_half_way() -> bool:
            said = (tmp_path / "out").read_text(encoding="utf-8")
            assert demo.poll() is None, said
            return "two machines" in said

        wait_for(is_half_way)
        assert _mentions(tmp_path), "nothing was running: this test would show nothing"
        assert list(MEMORY.glob(f"vab-demo-{demo.pid}-*"))
        demo.send_signal(number)
        status = demo.wait(60)

    assert status == 130
    wait_for(lambda: not _mentions(tmp_path))  # a process that was killed is listed until the kernel is through with it
    assert list(tmp_path.glob("vab-demo-*")) == []
    assert list(MEMORY.glob(f"vab-demo-{demo.pid}-*")) == []
