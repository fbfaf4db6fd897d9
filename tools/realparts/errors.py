"""The two ways in which a part is not to be had, with the exit status of each."""

from __future__ import annotations


class PartError(Exception):
    """A part cannot be had; the text is one sentence for a person."""

    status = 1


class MissingToolError(PartError):
    """Something that these programs do not bring is not on the machine; the sentence says what to install."""

    status = 3


class FailedPartError(PartError):
    """A build, an installation or a start went wrong; the sentence names the log."""

    status = 1
