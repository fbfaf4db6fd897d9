"""Appraisal: is genuine evidence wanted? Starts contraindicated, runs every rule, keeps every finding."""
