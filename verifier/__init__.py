"""The verifier: checks evidence, appraises it, and issues attestation-bound JWTs that stock Vault trusts."""
