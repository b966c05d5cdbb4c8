"""A run directory: its file names, and how they are written and read.

Both wings meet here: training writes what the report reads. Every file is replaced as a whole, so a reader, or a run
that is killed, sees the old one or the new one.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablate.atomic import atomic_write

FORMAT = 1  # of run.json
STATUSES = ("running", "complete", "failed", "diverged", "interrupted")

# The parts of a run's time, in seconds: columns of epochs.csv and, summed, `times` of run.json.
TIMES = ("train_seconds", "eval_seconds", "data_seconds")
# Columns of epochs.csv that are not results.
_NOT_RESULTS = ("epoch", "lr", "images_per_second", *TIMES)


class RunFailed(Exception):
    """A run that started and did not end well; its record says how, its log where."""


class RunDirectory:
    """Owns every file name in a run directory.

    Args:
        folder: The run's folder; it need not exist to be read from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def record_file(self) -> Path:
        """Status, identity, results, times and provenance of the run."""
        return self.folder / "run.json"

    @property
    def epochs_file(self) -> Path:
        """A row an epoch."""
        return self.folder / "epochs.csv"

    @property
    def checkpoint_file(self) -> Path:
        """The state after the newest complete epoch."""
        return self.folder / "checkpoint.pt"

    @property
    def log_file(self) -> Path:
        """The run's log, which Hydra's job logging opens under this name."""
        return self.folder / "train.log"

    def read_record(self) -> dict[str, Any] | None:
        """Returns run.json, or None if there is none.

        Raises:
            ValueError: It is not a record of this format.
        """
        try:
            text = self.record_file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.record_file.name} cannot be read: {error}") from error
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{self.record_file.name} is not JSON: {error}") from error
        if not isinstance(record, dict) or record.get("format") != FORMAT or record.get("status") not in STATUSES:
            raise ValueError(f"{self.record_file.name} is not a run's record of format {FORMAT}")
        return record

    def write_record(self, record: dict[str, Any]) -> None:
        """Replaces run.json."""
        with atomic_write(self.record_file) as file:
            json.dump({"format": FORMAT, **record}, file, indent=2)
            file.write("\n")

    def read_epochs(self) -> list[dict[str, float]]:
        """Returns the rows of epochs.csv; none if there is no file.

        Raises:
            ValueError: It is not a table of numbers.
        """
        try:
            with self.epochs_file.open(encoding="utf-8", newline="") as file:
                return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        except FileNotFoundError:
            return []
        except (OSError, TypeError, ValueError, csv.Error) as error:
            raise ValueError(f"{self.epochs_file.name} is not a table of numbers: {error}") from error

    def write_epochs(self, rows: Sequence[dict[str, float]]) -> None:
        """Replaces epochs.csv; at least one row."""
        with atomic_write(self.epochs_file) as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def summarise(rows: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns, per result of the epochs, its value after the last and its extremes over all, with their epochs."""
    results = {}
    for name in rows[0]:
        if name not in _NOT_RESULTS:
            highest = max(rows, key=lambda row: row[name])
            lowest = min(rows, key=lambda row: row[name])
            results[name] = {
                "final": rows[-1][name],
                "maximum": highest[name],
                "maximum_epoch": int(highest["epoch"]),
                "minimum": lowest[name],
                "minimum_epoch": int(lowest["epoch"]),
            }
    return results


def total_times(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Returns the seconds that all epochs took, by part, and together as `total_seconds`."""
    times = {name: sum(row[name] for row in rows) for name in TIMES}
    return {**times, "total_seconds": sum(times.values())}
