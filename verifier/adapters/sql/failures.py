"""How a failure of the database is worded: host, kind, class and SQLSTATE; no row, no password."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from verifier.core.ids import ServiceId
from verifier.formats.errors import CannotDecide

# PostgreSQL's documentation, appendix A "PostgreSQL Error Codes": the classes that a healthy program meets.
_SQLSTATE_CLASSES: Final = {
    "08": "connection",
    "23": "integrity constraint",
    "25": "transaction state, such as a read-only server",
    "28": "authorization",
    "3D": "no such database",
    "40": "transaction rolled back",
    "42": "privileges or missing tables",
    "53": "insufficient resources, such as a full disk or too many connections",
    "54": "limit exceeded",
    "55": "not in the right state, such as a lock that was not to be had",
    "57": "operator intervention, such as a shutdown or a statement's time limit",
    "58": "system error, such as I/O",
    "XX": "internal error, such as a corrupt page",
}
# What libpq says where there is no SQLSTATE: signs in a text that is never shown itself.
_CONNECTING: Final = {
    "Connection refused": "connection refused",
    "No such file or directory": "no server on that socket",
    "timeout expired": "no answer in time",
    "password authentication failed": "password refused",
    "server closed the connection": "the server closed the connection",
    "could not translate host name": "no such host",
    "starting up": "the server is starting up",
    "shutting down": "the server is shutting down",
    "does not exist": "no such role or database",
    "too many clients": "too many connections",
}


@contextmanager
def answering(where: str = "") -> Iterator[None]:
    """Turn whatever the database layer raises into ``CannotDecide('service.store')``; values never enter the message."""
    try:
        yield
    except SQLAlchemyError as error:
        raise cannot_decide(error, where) from error


def place_of(url: URL) -> str:
    """Return where a database is, for messages: no user and no password."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    host = url.host or url.query.get("host") or "the local socket"
    port = f":{url.port}" if url.port else ""
    return f"PostgreSQL at {host if isinstance(host, str) else ','.join(host)}{port}, database {url.database or ''}"


def cannot_decide(error: Exception, where: str = "") -> CannotDecide:
    """Word a failure of the database: where it is, and what kinds of error. No message of a driver, which may hold rows or a password.

    SQLSTATE comes with its class (PostgreSQL, appendix A): the class says who can act. A connection that could not be made has none,
    so what its socket said is told in its place.
    """
    original = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    words = [type(error).__name__]
    if type(original) is not type(error):
        words.append(type(original).__name__)
    sqlstate = getattr(original, "sqlstate", None)
    if sqlstate:
        words.append(f"SQLSTATE {sqlstate} ({_SQLSTATE_CLASSES.get(sqlstate[:2], 'class ' + sqlstate[:2])})")
    elif name := getattr(original, "sqlite_errorname", None):
        words.append(name)
    elif reason := next((told for sign, told in _CONNECTING.items() if sign in str(original)), ""):
        words.append(reason)
    place = f" ({where})" if where else ""
    return CannotDecide(ServiceId.STORE, f"the store did not answer{place}: {' '.join(words)}")
