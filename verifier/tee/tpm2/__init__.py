"""Scheme ``tpm2``: quotes of a TPM 2.0 that is known to the verifier, by an attestation key enrolled beforehand."""
