"""Adapters: the ports' implementations. Each is named in ``compose`` and nowhere below."""
