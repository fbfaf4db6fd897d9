"""How fast a SEV-SNP report is verified, beside a bare P-384 verification and beside go-sev-guest."""
