"""`ablate publish outputs/lenet_cifar10`: sends the report of a study to the trackers that have its runs."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.config.targets import check_targets, instantiate
from ablate.records.study_directory import StudyDirectory
from ablate.trackers.base import check_loggers


def publish(study: Path) -> list[str]:
    """Sends the report of a study, and returns the names of the loggers that store reports.

    Args:
        study: Its folder, with `report/` in it.

    Raises:
        ValueError: There is no report, or no tracker has the runs, or a tracker is not one of ablate's.
    """
    directory = StudyDirectory(study)
    report = directory.report
    if not (report / "index.html").is_file():
        raise ValueError(f"{study}: has no report yet; ablate report {study} writes it")
    loggers: dict[str, Any] = {}
    name = study.name
    for run in directory.runs():
        try:
            record = run.read_record()
        except ValueError:
            continue  # unreadable, which the report says
        if record is not None:
            name = record.study
            loggers |= record.loggers
    if not loggers:
        raise ValueError(
            f"{study}: its runs were sent to no tracker; start the sweep with logger=mlflow or logger=wandb"
        )
    check_targets({"logger": loggers})
    check_loggers(loggers)
    return [
        logger
        for logger, node in loggers.items()
        if instantiate(f"logger.{logger}", node).publish(name, report.absolute())
    ]


def main(arguments: Sequence[str]) -> int:
    """Sends a report."""
    parser = argparse.ArgumentParser(prog="ablate publish", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("study", type=Path, help="the study's folder, such as outputs/lenet_cifar10")
    options = parser.parse_args(arguments)
    kept = publish(options.study)
    if not kept:
        raise ValueError(f"{options.study}: no logger of its runs stores reports")
    print(f"The report was sent to {' and '.join(kept)}.")
    return 0
