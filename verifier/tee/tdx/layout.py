"""The quote of ``tdx``: the tables of ``dcap.layout``, and every field of them that a bin has to name."""

from __future__ import annotations

from typing import Final

from verifier.tee.dcap import layout as dcap

NAME: Final = "tdx"
FIELDS: Final = dcap.TDX_FIELDS
