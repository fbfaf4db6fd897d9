"""``verifier openapi``: the API's description, as the service serves it."""

from __future__ import annotations

import click

from verifier.core.console import Answer, answers
from verifier.web.openapi import document, document_bytes


@click.command("openapi")
@answers
def command() -> Answer:
    """Print the OpenAPI 3.1 document of the API.

    It is made from the models that validate requests.
    """
    return Answer(document(), document_bytes().decode())
