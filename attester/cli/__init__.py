"""The commands, one small module each, imported when they are used."""
