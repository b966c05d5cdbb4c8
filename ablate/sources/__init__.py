"""Runs of other tools, read for `ablate.commands.import_runs`."""
