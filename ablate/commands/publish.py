"""`ablate publish outputs/lenet_cifar10 logger=mlflow`: sends a study's report to trackers.

Where to is what the command line and the user's own configuration say. What runs say of it is a record, which may come
from anybody, and the user's token would go where it leads.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from ablate.config.compose import compose
from ablate.config.targets import check_targets, instantiate
from ablate.messages import say
from ablate.records.study_directory import StudyDirectory
from ablate.trackers.base import check_loggers


def publish(study: Path, overrides: Sequence[str] = (), folder: Path | None = None) -> list[str]:
    """Sends a study's report, and returns the names of the loggers that store reports."""
    directory = StudyDirectory(study)
    report = directory.report
    if not (report / "index.html").is_file():
        raise ValueError(f"{study}: has no report yet; ablate report {study} writes it")
    loggers = compose(overrides, folder).logger
    if not loggers:
        raise ValueError(
            f"{study}: no tracker is named; name it and its settings as for the sweep, such as "
            f"ablate publish {study} logger=mlflow logger.mlflow.tracking_uri=http://127.0.0.1:5000"
        )
    check_targets({"logger": loggers})
    check_loggers(loggers)
    return [
        logger
        for logger, node in loggers.items()
        if instantiate(f"logger.{logger}", node).publish(_name(directory), report.absolute())
    ]


def _name(directory: StudyDirectory) -> str:
    """Returns the study's name in its runs' records, which trackers group them by."""
    for run in directory.runs():
        try:
            record = run.read_record()
        except ValueError:
            continue  # unreadable, which the report says
        if record is not None:
            return record.study
    return directory.folder.absolute().name


def main(arguments: Sequence[str]) -> int:
    """Sends a report."""
    parser = argparse.ArgumentParser(prog="ablate publish", description=(__doc__ or "").partition(": ")[2])
    parser.add_argument("study", type=Path, help="the study's folder, such as outputs/lenet_cifar10")
    parser.add_argument("overrides", nargs="*", help="the trackers, such as logger=mlflow, and their settings")
    parser.add_argument("--config-dir", type=Path, help="a folder of config groups beside ablate's own")
    options = parser.parse_intermixed_args(arguments)
    kept = publish(options.study, options.overrides, options.config_dir)
    if not kept:
        raise ValueError(f"{options.study}: none of the loggers stores reports")
    say(f"The report was sent to {' and '.join(kept)}.")
    return 0
