"""What a record costs in the store: bytes, and time to insert, purge and verify, beside another revision."""
