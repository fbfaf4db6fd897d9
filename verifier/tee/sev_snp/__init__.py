"""AMD SEV-SNP attestation reports (``sev-snp``): versions 2 to 5, signed by a VCEK or VLEK of Milan, Genoa or Turin."""
