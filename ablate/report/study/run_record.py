"""A complete run as the report reads it: its record and its epochs, both usable."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.records.epochs import RESERVED
from ablate.records.record import RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.report.study.definition import define


class Epochs(NamedTuple):
    """The epochs of a run: names of columns, and values of shape (epochs, columns)."""

    columns: tuple[str, ...]
    values: NDArray[np.float64]


def read_run(directory: RunDirectory) -> tuple[RunRecord, Epochs | None]:
    """Returns the record of a run, and its epochs if it is complete.

    Raises:
        ValueError: Something that the report needs is missing or has another form.
    """
    record = directory.read_record()
    if record is None:
        raise ValueError("there is no run.json")
    if not record.is_complete:
        return record, None
    define("", {"study": record.study_options}, None)
    for name in record.results:
        if name in RESERVED:
            raise ValueError(f"run.json has a result called {name}, as a column of ablate's own is")
    return record, _epochs(directory, record)


def _epochs(directory: RunDirectory, record: RunRecord) -> Epochs:
    columns, rows = directory.read_epoch_table()
    expected = record.planned_epochs
    if len(rows) != expected:
        raise ValueError(f"{directory.epochs_file.name} has {len(rows)} of the run's {expected} epochs")
    values = np.array(rows)
    own = ("train_loss", "test_loss", "test_accuracy") if record.task is None else ()
    for column in ("epoch", *own):
        if column not in columns or not np.isfinite(values[:, columns.index(column)]).all():
            raise ValueError(f"{directory.epochs_file.name} has no usable {column}")
    return Epochs(tuple(columns), values)
