"""What a command loads: what it uses. Times are the benchmarks' (``python -m benchmarks.startup``)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.live import live_verifier

_LOADED = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def _modules(script: str, *arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\n{_LOADED}", *arguments], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def _schemes(modules: set[str]) -> set[str]:
    names = (name.split(".") for name in modules)
    return {parts[2] for parts in names if parts[:2] == ["verifier", "tee"] and parts[3:] == ["scheme"]}


def test_appraise_loads_one_scheme_also_when_it_says_no(tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(bytes(7))
    script = """
import sys
from click.testing import CliRunner
from verifier.cli.appraise import command
done = CliRunner().invoke(command, ["--scheme", "sev-snp", "--evidence", sys.argv[1]])
assert done.exit_code == 2, done.output
"""
    modules = _modules(script, str(tmp_path / "report.bin"))
    assert _schemes(modules) == {"sev_snp"}
    assert not modules & {"pydantic", "yaml", "sqlalchemy", "flask", "requests"}


def test_a_process_that_serves_has_loaded_the_schemes_of_its_policies_and_nothing_that_it_does_not_use(
    tmp_path: Path,
) -> None:
    script = """
import sys
from verifier.adapters.settings_source import load_settings
from verifier.compose import compose, prepare
settings = load_settings(sys.argv[1])
prepare(settings)
prepare(settings) if len(sys.argv) > 2 else compose(settings)
"""
    with live_verifier(tmp_path, start=False) as live:
        file = str(live.folder.settings_file)
        _modules(script, file)  # makes the store, compiles the documents
        assert _schemes(_modules(script, file)) == {"sev_snp"}
        usual = _modules(script, file, "again")
    assert not _schemes(usual)
    assert not usual & {"yaml", "alembic", "flask", "requests"}
