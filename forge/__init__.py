"""Forged vendors: chips that do not exist, signed by roots whose private keys are public.

For the ``simulated`` provider, the demo and the tests. A verifier that trusts these roots says ``root: simulated`` and refuses to
start beside production keys (docs/operations.md, "Simulated TEEs"). The keys under ``keys/`` are public: they protect nothing.
"""
