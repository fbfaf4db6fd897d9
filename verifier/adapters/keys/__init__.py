"""Signing keys: the encrypted key file, the offline root and the ceremony that makes them."""
