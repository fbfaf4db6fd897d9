"""docs/backup.md, followed literally: its commands, in their order, in a verifier's folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.live import live_verifier
from verifier.core.exits import Exit

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "backup.md"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_EXITS = re.compile(r"\s+# exits with (\d+)$")


def _commands() -> list[tuple[str, int]]:
    lines = [line for block in _BLOCK.findall(_PAGE.read_text(encoding="utf-8")) for line in block.splitlines()]
    found = []
    for line in lines:
        assert line.startswith("$ "), line
        exits = _EXITS.search(line)
        found.append((_EXITS.sub("", line[2:]), int(exits[1]) if exits else 0))
    return found


def test_the_page_is_followed_from_backup_to_service(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with live_verifier(tmp_path) as live:
        live.attest()
        said = ""
        commands = _commands()
        assert len(commands) >= 8
        live.stop()
        for number, (command, status) in enumerate(commands):
            done = subprocess.run(
                ["bash", "-c", command], cwd=live.folder.path, env={**os.environ, "PATH": path},
                capture_output=True, text=True, check=False, timeout=120,
            )  # fmt: skip
            assert done.returncode == status, f"{command}: {done.stdout}{done.stderr}"
            said += done.stdout + done.stderr
            if number == 0:  # a token after the backup: it will be missing
                live.start()
                live.attest()
                live.stop()
        assert "restored store" in said
        assert '"reason":"the disk broke; backup of Monday"' in said
        live.start()
        live.attest()
        assert len(live.records()) == 2
    assert Exit.USAGE == 64
