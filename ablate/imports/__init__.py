"""Runs of other tools, read for `ablate.import_runs`."""
