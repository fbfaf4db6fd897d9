"""What a trust owner writes of Intel TDX with a GPU: the CPU's fields as ``tdx`` has them, the GPU's as ``gpu_…``."""

from __future__ import annotations

from verifier.tee.nvidia_gpu.identity import GpuFirmwareValues, GpuPlatformValues
from verifier.tee.tdx import identity as tdx


class PlatformValues(tdx.PlatformValues, GpuPlatformValues):
    """Class ``platform``: both chips."""


class FirmwareValues(tdx.FirmwareValues, GpuFirmwareValues):
    """Class ``firmware``: what was launched, and what runs on the GPU."""


class Exceptions(tdx.Exceptions):
    """What an appraisal policy may except from the service's rules: the CPU's; the GPU has none."""
