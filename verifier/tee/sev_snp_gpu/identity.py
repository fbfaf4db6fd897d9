"""What a trust owner writes of SEV-SNP with a GPU: the CPU's fields as ``sev-snp`` has them, the GPU's as ``gpu_…``."""

from __future__ import annotations

from verifier.tee.nvidia_gpu.identity import GpuFirmwareValues, GpuPlatformValues
from verifier.tee.sev_snp import identity as sev_snp


class PlatformValues(sev_snp.PlatformValues, GpuPlatformValues):
    """Class ``platform``: both chips."""


class FirmwareValues(sev_snp.FirmwareValues, GpuFirmwareValues):
    """Class ``firmware``: what was launched, and what runs on the GPU."""


class Exceptions(sev_snp.Exceptions):
    """What an appraisal policy may except from the service's rules: the CPU's; the GPU has none."""
