"""A complete run as the report reads it: its record and its epochs, both usable and of one mind."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.config.edits import read_edits
from ablate.config.identity import run_id
from ablate.records.epochs import EPOCHS_FILE, RESERVED, TIMES, Epoch, summarise, total_times
from ablate.records.record import RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.report.study.definition import define


class Epochs(NamedTuple):
    """The epochs of a run: names of columns, and values of shape (epochs, columns)."""

    columns: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Sequence[Epoch]) -> "Epochs":
        """Returns the epochs that rows hold, which have the same columns."""
        return cls(tuple(rows[0]), np.array([list(row.values()) for row in rows]))


def read_run(directory: RunDirectory) -> tuple[RunRecord, Epochs | None]:
    """Returns the record of a run, and its epochs if it is complete.

    Raises:
        ValueError: Something that the report needs is missing, has another form, or contradicts itself.
    """
    record = directory.read_record()
    if record is None:
        raise ValueError("there is no run.json")
    read_edits(record.edits)  # of any run, to say which variant it is
    _refuse(against_config(record))
    if not record.is_complete:
        return record, None
    define("", {"study": record.study_options}, None)
    for name in record.results:
        if name in RESERVED:
            raise ValueError(f"run.json has a result called {name}, as a column of ablate's own is")
    rows = directory.read_epochs(record.planned_epochs)
    _check(record, rows)
    _refuse(against_epochs(record, rows))
    return record, Epochs.of(rows)


def against_config(record: RunRecord) -> Iterator[str]:
    """Yields where a record says other than its own configuration; another program's identity is taken as it is."""
    config = record.config
    said: dict[str, tuple[object, object]] = {
        "variant": (record.variant, config["model"]["name"]),
        "seed": (record.seed, config.get("seed")),
        "study": (record.study, record.study_options.get("name")),
    }
    if record.task is None:
        said["id"] = (record.id, run_id(config))
    for name, (first, second) in said.items():
        if first != second:
            yield f"run.json says {name} {first}, and its configuration {second}"


def against_epochs(record: RunRecord, rows: Sequence[Epoch]) -> Iterator[str]:
    """Yields where the results and times of a complete run do not follow from its epochs."""
    missing = [name for name in TIMES if name not in rows[0]]
    if missing:
        yield f"epochs.csv has no {missing[0]}"
        return
    recorded, computed = (
        {f"times.{name}": value for name, value in times.items()}
        | {f"results.{name}.{key}": value for name, each in results.items() for key, value in asdict(each).items()}
        for results, times in ((record.results, record.times), (summarise(rows), total_times(rows)))
    )
    for name in {**recorded, **computed}:
        first, second = recorded.get(name), computed.get(name)
        if first is None or second is None or not _are_same(first, second):
            yield f"run.json says {name} {first}, and epochs.csv gives {second}"


def _are_same(first: float, second: float) -> bool:
    return math.isclose(first, second, rel_tol=1e-9) or (math.isnan(first) and math.isnan(second))


def _refuse(reasons: Iterator[str]) -> None:
    if found := [*reasons]:
        raise ValueError("; ".join(found[:3]) + (f"; and {len(found) - 3} more" if len(found) > 3 else ""))


def _check(record: RunRecord, rows: Sequence[Epoch]) -> None:
    """Raises ValueError where the epochs are not all there, or lack what every run of ablate's has."""
    if len(rows) != record.epochs:
        raise ValueError(f"{EPOCHS_FILE} has {len(rows)} of the run's {record.epochs} epochs")
    own = ("train_loss", "test_loss", "test_accuracy") if record.task is None else ()
    for column in ("epoch", *own):
        if not rows or not all(math.isfinite(row.get(column, math.nan)) for row in rows):
            raise ValueError(f"{EPOCHS_FILE} has no usable {column}")
    if [row["epoch"] for row in rows] != list(range(1, len(rows) + 1)):
        raise ValueError(f"{EPOCHS_FILE} has no usable epoch: they count from 1")
