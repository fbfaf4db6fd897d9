"""Other people's verifiers (tools/oracles) as one process: a question in, their verdict out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.support.parts import missing


@dataclass(frozen=True, slots=True)
class Said:
    """What an oracle said; ``panic``: it fell over, which is no verdict."""

    ok: bool
    error: str
    panic: bool


def b64(data: bytes) -> str:
    """Encode as Go's JSON wants its bytes."""
    return base64.b64encode(data).decode("ascii")


class Oracles:
    """The process, asked a line at a time."""

    def __init__(self, questions: IO[str], answers: IO[str]) -> None:
        self._questions, self._answers = questions, answers

    def ask(self, kind: str, at: int = 0, **more: Any) -> Said:
        """Ask ``snp``, ``tdx``, ``tpm`` or ``eventlog``; ``blobs`` are bytes by name, ``registers`` by index."""
        form: dict[str, Any] = {"kind": kind, "at": at, **more}
        for name in ("blobs", "registers"):
            if name in form:
                values: Mapping[Any, bytes] = form[name]
                form[name] = {str(key): b64(value) for key, value in values.items()}
        self._questions.write(json.dumps(form) + "\n")
        self._questions.flush()
        line = self._answers.readline()
        if not line:
            raise AssertionError(f"the oracles died on a question of kind {kind}")
        said = json.loads(line)
        return Said(said["ok"], said["error"], said["panic"])


def oracles_binary() -> Path:
    """Return the program that ``ORACLES_BIN`` names (``tools/parts.py oracles`` builds it), or miss it."""
    name = os.environ.get("ORACLES_BIN", "")
    if not name or not Path(name).is_file():
        missing("ORACLES_BIN: names no program, want what `python3 tools/parts.py oracles` prints")
    return Path(name)


@contextmanager
def oracles(binary: Path) -> Iterator[Oracles]:
    """Run the oracles for as long as the block lasts."""
    with subprocess.Popen(
        [str(binary)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Oracles(process.stdin, process.stdout)
        process.stdin.close()
        assert process.wait(timeout=10) == 0
