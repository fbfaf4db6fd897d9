"""What ``sgx`` and ``tdx`` share: Intel's ECDSA quotes, the PCK chain, TCB info, QE identity, the evaluation of a TCB."""
