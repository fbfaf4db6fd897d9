"""Vault, Terraform and its provider, Docker and Compose, the software TPM: found, or built and kept."""
