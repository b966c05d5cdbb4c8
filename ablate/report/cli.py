"""The command line of the report: `python -m ablate.report`, `ablate-report`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from ablate.atomic import atomic_write
from ablate.report import figures
from ablate.report.checks import mismatches
from ablate.report.collect import collect, find_studies
from ablate.report.page import markdown
from ablate.report.summary import accuracy_table, learning_curves, runs_table, time_table


def write_report(folder: Path) -> Path:
    """Writes the report of a study into its folder `report`.

    Args:
        folder: The study's folder.

    Returns:
        The page.

    Raises:
        ValueError: No run is complete.
    """
    study = collect(folder)
    accuracy, time, runs = accuracy_table(study), time_table(study), runs_table(study)
    out = folder / "report"
    out.mkdir(exist_ok=True)
    for name, frame in {"accuracy": accuracy, "time": time, "runs": runs}.items():
        with atomic_write(out / f"{name}.csv") as file:
            frame.to_csv(file, index=False, lineterminator="\n")
    palette = figures.colours(study.labels)
    curves = {
        "test accuracy": learning_curves(study, "test_accuracy"),
        "test loss": learning_curves(study, "test_loss"),
        "training loss": learning_curves(study, "train_loss"),
    }
    figures.save(figures.learning_curves(curves, palette), out / "learning_curves")
    figures.save(figures.accuracy_against_time(runs, palette), out / "accuracy_against_time")
    captions = {
        "Learning curves (mean over seeds, band from lowest to highest)": "learning_curves.svg",
        "Accuracy against time": "accuracy_against_time.svg",
    }
    page = out / "report.md"
    with atomic_write(page) as file:
        file.write(markdown(study, accuracy, time, mismatches(study.records), captions))
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script `ablate-report`."""
    parser = argparse.ArgumentParser(
        prog="ablate-report", description="Writes tables and plots from run directories, into <study>/report/."
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("outputs"),
        help="a study's folder, or one that holds studies (default: outputs)",
    )
    options = parser.parse_args(arguments)
    try:
        for study in find_studies(options.folder):
            page = write_report(study)
            print(page.read_text(encoding="utf-8").partition("\n## Time")[0])
            print(f"\nThe report is in {page.parent}: read {page.name}.")
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
