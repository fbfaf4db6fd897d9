"""The store: SQLite by default, PostgreSQL when one machine is outgrown. The only package that imports SQLAlchemy.

``store.open_store(url)`` gives what the stores of ``verifier.core.ports`` ask for; no exception of SQLAlchemy or a driver leaves here.
"""
