"""Documents of AMD's."""

from __future__ import annotations

from functools import partial

from forge.sev_snp import ForgedAmd
from tests.support.documents import Example

NOW = 1_795_000_000


def examples() -> tuple[Example, ...]:
    """Forge them."""
    chip = ForgedAmd(now=NOW)
    example = partial(Example, anchors=(chip.anchor(),), now=NOW)
    return (
        example("sev-snp.vcek", f"Milan-{chip.hwid.hex()}-{chip.tcb.hex()}", chip.vek()),
        example("sev-snp.ask", "Milan-vcek", chip.ask()),
        example("sev-snp.crl", "Milan", chip.crl()),
    )
