"""What a trust owner writes of Azure on AMD SEV-SNP with a GPU: fields as ``azure-snp-vtpm`` has them, the GPU's as ``gpu_…``."""

from __future__ import annotations

from verifier.tee.azure_snp_vtpm import identity as vm
from verifier.tee.nvidia_gpu.identity import GpuFirmwareValues, GpuPlatformValues


class Platform(vm.Platform, GpuPlatformValues):
    """Class ``platform``: both chips, and which AKs."""


class Firmware(vm.Firmware, GpuFirmwareValues):
    """Class ``firmware``: paravisor and guest firmware, and what runs on the GPU."""


class Exceptions(vm.Exceptions):
    """What an appraisal policy may except from the service's rules: the CPU's; the GPU has none."""
