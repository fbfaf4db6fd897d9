"""The case form of each platform, one module a platform."""
