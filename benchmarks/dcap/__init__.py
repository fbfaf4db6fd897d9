"""Intel quotes beside dcap-qvl and go-tdx-guest."""
