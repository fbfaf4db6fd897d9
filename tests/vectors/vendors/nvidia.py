"""Documents of NVIDIA's. Who issued the certificate that an answer is about, only the evidence says: no anchor vouches for one."""

from __future__ import annotations

from forge.nvidia_gpu import ForgedNvidia
from forge.nvidia_ocsp import ocsp_documents
from tests.support.documents import Example

NOW = 1_795_000_000


def examples() -> tuple[Example, ...]:
    """Forge them."""
    documents = ocsp_documents(ForgedNvidia(), NOW)
    return tuple(Example(kind, key, answer, now=NOW) for (kind, key), answer in documents.items())
