"""AWS NitroTPM (``aws-nitrotpm``): an attestation document with the PCRs of an EC2 instance, and a TPM 2.0 quote beside it."""
