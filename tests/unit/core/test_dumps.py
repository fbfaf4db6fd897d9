"""Core dumps are off in a process that said so, in what it forks, and the limit also in what it executes."""

from __future__ import annotations

import subprocess
import sys
import textwrap

_PR_GET_DUMPABLE = 3


def _printed(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_a_process_that_forbids_its_dumps_has_neither_limit_nor_flag_left() -> None:
    code = f"""
        import ctypes, resource
        from verifier.core.dumps import forbid_core_dumps
        forbid_core_dumps()
        print(*resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl({_PR_GET_DUMPABLE}, 0, 0, 0, 0))
    """
    assert _printed(code) == ["0", "0", "0"]


def test_a_child_of_serve_inherits_it() -> None:
    code = f"""
        import ctypes, resource
        from verifier.adapters.child import fork_child
        from verifier.core.dumps import forbid_core_dumps
        forbid_core_dumps()
        def say():
            flag = ctypes.CDLL(None).prctl({_PR_GET_DUMPABLE}, 0, 0, 0, 0)
            print(*resource.getrlimit(resource.RLIMIT_CORE), flag, flush=True)
        fork_child("child", say).join()
    """
    assert _printed(code) == ["0", "0", "0"]


def test_an_executed_program_keeps_the_limit() -> None:
    code = """
        import subprocess
        from verifier.core.dumps import forbid_core_dumps
        forbid_core_dumps()
        subprocess.run(["sh", "-c", "ulimit -Hc; ulimit -Sc"], check=True)
    """
    assert _printed(code) == ["0", "0"]
