"""The steps of an attestation, on one screen (``attest``), and TPM enrolment beside it (``enrol``)."""
