"""AWS Nitro Enclaves attestation documents (``aws-nitro``): COSE_Sign1, ES384, chain to the Nitro root G1."""
