"""One module a vendor: what it publishes and how it is asked. ``registry`` lists them; see docs/adr/0013-vendor-tables.md."""
