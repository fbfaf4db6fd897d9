"""``verifier openapi``: the API's description, as the service serves it."""

from __future__ import annotations

import click

from verifier.core.console import FORMAT_OPTION, Answer, run
from verifier.web.openapi import document, document_bytes


@click.command("openapi")
@FORMAT_OPTION
def command(output_format: str) -> None:
    """Print the OpenAPI 3.1 document of the API.

    It is made from the models that validate requests.
    """
    run(output_format, lambda: Answer(document(), document_bytes().decode()))
