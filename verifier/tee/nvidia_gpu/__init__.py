"""NVIDIA GPUs and NVSwitches (``nvidia-gpu``): SPDM measurements signed by the device, under NVIDIA's Device Identity CA."""
