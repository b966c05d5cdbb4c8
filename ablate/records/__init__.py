"""A run on disk, and what it came from."""
