"""`ablate import mlflow|wandb|csv|files …`: reads runs of other tools, for the report to judge them."""

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from ablate.files import FOLDER_NAME
from ablate.messages import aligned, install_hint, say
from ablate.sources import csv_table, logged_run, mlflow, wandb
from ablate.sources.found_runs import find_runs
from ablate.sources.inference import infer
from ablate.sources.into_records import into_records, write_records
from ablate.sources.logged_run import LoggedRun, Wanted


def read(options: argparse.Namespace, wanted: Wanted) -> tuple[str, list[LoggedRun]]:
    """Returns what has made the runs that the command line names, and the runs."""
    for name, tools in (("experiment", ("mlflow",)), ("epoch", ("csv", "files"))):
        if getattr(options, name) and options.tool not in tools:
            raise ValueError(f"--{name} is for {' and '.join(tools)}")
    if options.tool == "csv":
        return "csv", csv_table.read(Path(options.address), wanted)
    if options.tool == "files":
        found = find_runs(options.address, wanted)
        return found.tool, found.runs
    if importlib.util.find_spec(options.tool) is None:
        raise ValueError(f"{options.tool} is not installed; {install_hint(options.tool)}")
    if options.tool == "mlflow":
        return "mlflow", mlflow.read(options.address, options.experiment, list(wanted.metrics.values()))
    return "wandb", wandb.read(options.address)


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    made = argparse.ArgumentParser(prog="ablate import", description=(__doc__ or "").partition(": ")[2])
    made.add_argument("tool", choices=("mlflow", "wandb", "csv", "files"))
    made.add_argument(
        "address",
        help="MLflow's tracking URI; W&B's entity/project or a folder of offline runs; a CSV or TSV file; of files, "
        "what `ablate report` takes: a folder, such as a multirun of Hydra, or a template of paths",
    )
    made.add_argument("--study", required=True, help="what to call the study")
    logged_run.add_options(made)
    made.add_argument("--experiment", help="of MLflow; needed where there are several")
    made.add_argument("--out", type=Path, default=Path("outputs"), help="where studies are (default: outputs)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Brings runs in, or writes nothing."""
    options = parser().parse_args(arguments)
    wanted = logged_run.wanted(options)
    study = options.out / options.study
    if not FOLDER_NAME.fullmatch(options.study):
        raise ValueError(f"--study {options.study}: is no name of at most 100 letters, digits and . _ + -")
    tool, runs = read(options, wanted)
    if not runs:
        raise ValueError(f"{options.address}: there are no runs")
    kept, full, said = infer(runs, wanted)
    folders = write_records(into_records(kept, study.name, tool, full), study)
    say(aligned(said))
    say(f"{len(folders)} runs are in {study}.")
    say(f"ablate report {study} judges them.")
    return 0
