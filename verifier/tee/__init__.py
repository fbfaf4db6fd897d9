"""Schemes: one folder a format of evidence. A scheme decodes, verifies and states its rules; it fetches nothing."""
