"""Runs that somebody else's project has left in a folder, wherever that says what they are."""

from pathlib import Path
from typing import NamedTuple

from ablate.sources import csv_table, hydra_runs, path_template
from ablate.sources.logged_run import LoggedRun, Wanted

_SEARCH = "optimization_results.yaml"  # what Optuna's sweeper leaves


class Found(NamedTuple):
    """The runs at an address: who has made them, the folder that they are in, and how to name them in full."""

    tool: str
    folder: Path
    path: str
    runs: list[LoggedRun]
    ignored: list[str]


def find_runs(path: str, wanted: Wanted) -> Found:
    """Returns the runs in a table, at a template of paths, or in a folder of Hydra's jobs or of anybody's runs."""
    folder = Path(path)
    if folder.suffix.lower() in csv_table.SUFFIXES and not path_template.is_template(path):
        return Found("csv", folder.with_suffix(""), path, csv_table.read(folder, wanted), [])
    if path_template.is_template(path):
        fixed = path_template.fixed_part(path)
        return Found("files", fixed, path, path_template.read(path, wanted), [])
    if found := hydra_runs.jobs(folder):
        ignored = [f"{file.relative_to(folder)}: the best of a search" for file in sorted(folder.rglob(_SEARCH))]
        return Found("hydra", folder, path, hydra_runs.read(folder, found, wanted), ignored)
    template = path_template.guess(folder)
    return Found("files", folder, template, path_template.read(template, wanted), [])
