"""Intel SGX DCAP quotes (``sgx``): ECDSA, versions 3, 4 and 5."""
