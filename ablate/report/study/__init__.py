"""Run directories, read into a study."""
