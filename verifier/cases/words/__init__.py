"""What each evidence claim means, one module a platform."""
