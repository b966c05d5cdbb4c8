"""`python -m ablate.publish outputs/lenet_cifar10`: sends a study's report to where its runs' loggers sent the runs."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.config.targets import check_targets, instantiate
from ablate.records.run_directory import RunDirectory
from ablate.trackers.base import check_loggers


def publish(study: Path) -> list[str]:
    """Sends a study's report, and returns the names of the loggers that keep reports.

    Args:
        study: Its folder, with `report/` in it.

    Raises:
        ValueError: There is no report, the runs were sent to no tracker, or to one that is not ours.
    """
    report = study / "report"
    if not (report / "index.html").is_file():
        raise ValueError(f"{study}: has no report yet; python -m ablate.report {study} writes it")
    loggers: dict[str, Any] = {}
    name = study.name
    for file in sorted(study.glob("*/*/run.json")):
        try:
            record = RunDirectory(file.parent).read_record() or {}
        except ValueError:
            continue  # the report names it
        name = str(record.get("study", name))
        loggers |= (record.get("config") or {}).get("logger") or {}
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Sends a report; returns 0, and exits with 2 where there is nothing to send or nowhere to send it to."""
    parser = argparse.ArgumentParser(prog="python -m ablate.publish", description=__doc__.partition(": ")[2])
    parser.add_argument("study", type=Path, help="the study's folder, such as outputs/lenet_cifar10")
    options = parser.parse_args(arguments)
    try:
        kept = publish(options.study)
        if not kept:
            raise ValueError(f"{options.study}: none of its loggers keeps reports")
    except ValueError as error:
        parser.exit(2, f"{error}\n")
    print(f"The report was sent to {' and '.join(kept)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
