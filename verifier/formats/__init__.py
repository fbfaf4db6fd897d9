"""Formats that this product reads and writes, and nothing of its policy: DER, CBOR, COSE, JOSE, JSON, fixed layouts."""
