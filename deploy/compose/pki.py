#!/opt/vab/bin/python
"""Make a key and a certificate for each server, onto memory-backed volumes, and wait: they last while this runs.

A volume in memory is emptied when the last container that uses it ends; so this one waits until everything is stopped.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from stopped import wait_until_stopped

from tools.demo.tls import make_server_tls


def _place(source: Path, target: Path, mode: int) -> None:
    """Copy a file for the folder's owner; no process sees it before it is whole, or with a wider mode."""
    fresh = target.with_suffix(".new")
    fresh.touch(mode=0o600)
    shutil.copyfile(source, fresh)
    owner = target.parent.stat()
    os.chown(fresh, owner.st_uid, owner.st_gid)
    fresh.chmod(mode)
    fresh.replace(target)


def main(public: Path, servers: list[str]) -> None:
    """For each `name=folder` put key and certificate into the folder and the CA's certificate into the public one."""
    for server in servers:
        name, _, folder = server.partition("=")
        # Each has a CA of its own: who is told to trust the verifier's trusts no Vault by that.
        with tempfile.TemporaryDirectory() as scratch:
            ca, certificate, key = make_server_tls(Path(scratch), name, also=(name,))
            _place(key, Path(folder, "key.pem"), 0o400)
            _place(certificate, Path(folder, "certificate.pem"), 0o444)
            # Last: its presence says that the others are there.
            _place(ca, public / f"{name}.pem", 0o444)
        sys.stdout.write(f"pki: certificate for {name}\n")
        sys.stdout.flush()
    wait_until_stopped()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
