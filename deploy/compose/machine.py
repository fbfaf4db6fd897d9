#!/opt/vab/bin/python
"""The workload's machine: a software TPM, manufactured and booted as in `make demo`, and what it makes known.

It shares its network with the workload alone, so that the TPM answers on a loopback that no other container reaches.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from stopped import wait_until_stopped

from tools.demo.machine import make_machine
from tools.demo.processes import Processes

_ATTESTER = "/opt/vab/bin/attester"


def main(private: Path, public: Path) -> None:
    """Keep the TPM's state in one folder; put the TPM's address, its boot log and what names it into the other."""
    with Processes(private) as processes:
        machine = make_machine(private, processes)
        shutil.copyfile(machine.log_file, public / "binary_bios_measurements")
        for index, certificate in enumerate(machine.ca_files):
            shutil.copyfile(certificate, public / f"ek-ca-{index}.pem")
        (public / "tcti").write_text(machine.tcti, encoding="ascii")
        options = ["--provider", "tpm2", "--tcti", machine.tcti, "--format", "json"]
        identity = subprocess.run(  # noqa: S603 - our own program
            [_ATTESTER, "enrol", "--show-identity", *options], stdout=subprocess.PIPE, text=True, check=True
        )
        # Last: its presence says that the others are there.
        (public / "ek-sha256").write_text(json.loads(identity.stdout)["ek_digest"], encoding="ascii")
        sys.stdout.write("machine: a TPM with an EK certificate of its own CA; firmware, kernel and initrd measured\n")
        sys.stdout.flush()
        wait_until_stopped()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
