"""The store: SQLite by default, PostgreSQL when one machine is outgrown. The only package that imports SQLAlchemy.

``open_store(url)`` gives what ``verifier.core.ports.Store`` asks for; no exception of SQLAlchemy or a driver leaves here.
"""

from __future__ import annotations

from verifier.adapters.sql.schema import migrate
from verifier.adapters.sql.store import SqlStore, open_store

__all__ = ["SqlStore", "migrate", "open_store"]
