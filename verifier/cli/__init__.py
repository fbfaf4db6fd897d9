"""The ``verifier`` command: one small module a group of subcommands."""
