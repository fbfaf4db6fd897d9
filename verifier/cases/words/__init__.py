"""What each evidence claim means and what to change when a check says no, one module a platform."""
