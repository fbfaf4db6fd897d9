"""Arm CCA attestation tokens (``arm-cca``): platform token by the CPAK, realm token by the RAK that it vouches for."""
