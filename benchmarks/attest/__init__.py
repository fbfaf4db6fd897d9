"""How much the whole ``POST /v1/attestations`` costs beside its bare cryptography, and beside Vault's own login."""
