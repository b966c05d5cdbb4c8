"""What the report reads of a run directory, checked for form: a record with a usable value in every place it looks."""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ablate.records.epochs import RESERVED, TIMES
from ablate.records.run_directory import RunDirectory
from ablate.report.study.definition import define

# What the report reads from the record of a complete run, and of which type.
_NUMBER = (int, float)
_NEEDED: Mapping[str, type | tuple[type, ...]] = {
    "id": str,
    "started": str,
    "config.study": Mapping,
    "config.train.epochs": int,
    "config.data": Mapping,
    "config.hardware": Mapping,
    "config.hardware.precision": str,
    "model.after.parameters": int,
    "model.after.flops": int,
    "data.name": str,
    "data.sha256": str,
    "data.images": Mapping,
    "pairing.initial_weights": Mapping,
    "pairing.first_epoch_order": str,
    "provenance.code": Mapping,
    "provenance.packages": Mapping,
    "provenance.machine.cpu": str,
    "provenance.machine.cores": int,
    "provenance.accelerator": str,
    "provenance.threads": int,
    "results": Mapping,
    **{f"times.{name}": _NUMBER for name in (*TIMES, "total_seconds")},
}
# Of a run that is no task of the user's own, whose metrics are the task's.
_RESULTS = {
    **{f"results.test_accuracy.{name}": _NUMBER for name in ("final", "maximum", "minimum")},
    "results.test_loss.final": _NUMBER,
}
# Of any run, so that the report can say which variant and seed it is.
_NEEDED_OF_ALL: Mapping[str, type | tuple[type, ...]] = {
    "variant": str,
    "seed": int,
    "config.model.name": str,
    "config.model.edits": Mapping,
}
_NAME = re.compile(r"[\w.+-]{1,100}")  # as a model may be called


class Epochs(NamedTuple):
    """The epochs of a run: names of columns, and values of shape (epochs, columns)."""

    columns: tuple[str, ...]
    values: np.ndarray


def read_run(directory: RunDirectory) -> tuple[dict[str, Any], Epochs | None]:
    """Returns the record of a run, and its epochs if it is complete.

    Raises:
        ValueError: Something that the report needs is missing or has another form.
    """
    record = directory.read_record()
    if record is None:
        raise ValueError("there is no run.json")
    try:
        _require(record, _NEEDED_OF_ALL)
        if not _NAME.fullmatch(record["variant"]):
            raise ValueError(f"run.json has no usable variant: {record['variant']!r} is not a name")
        complete = record["status"] == "complete"
        if complete:
            _require(record, _NEEDED)
            if "task" not in record:
                _require(record, _RESULTS)
        _check_form(record)
        return record, _epochs(directory, record) if complete else None
    except (AttributeError, TypeError) as error:
        raise ValueError(str(error)) from error


def _require(record: Mapping[str, Any], needed: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raises ValueError where a record lacks what the report reads from it."""
    for path, kind in needed.items():
        value: Any = record
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if not isinstance(value, kind) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"run.json has no usable {path}")


def _check_form(record: Mapping[str, Any]) -> None:
    """Raises ValueError where what a record lists has not the form that the report reads it in."""
    for name, edit in record["config"]["model"]["edits"].items():
        if not isinstance(edit, Mapping) or not isinstance(edit.get("layer"), Mapping | None):
            raise ValueError(f"run.json has no usable config.model.edits.{name}")
    for name, kind in {"overrides": str, "stale": str, "starts": Mapping}.items():
        items = record.get(name, [])
        if not isinstance(items, list) or not all(isinstance(item, kind) for item in items):
            raise ValueError(f"run.json has no usable {name}")
    if record["status"] == "complete":
        define("", {"study": record["config"]["study"]}, None)
        for name in record["results"]:
            if name in RESERVED:
                raise ValueError(f"run.json has a result called {name}, as a column of ablate's own is")
        if not all(isinstance(number, int) for number in record["data"]["images"].values()):
            raise ValueError("run.json has no usable data.images")


def _epochs(directory: RunDirectory, record: Mapping[str, Any]) -> Epochs:
    columns, rows = directory.read_epoch_table()
    expected = record["config"]["train"]["epochs"]
    if len(rows) != expected:
        raise ValueError(f"{directory.epochs_file.name} has {len(rows)} of the run's {expected} epochs")
    values = np.array(rows)
    for column in ("epoch",) if "task" in record else ("epoch", "train_loss", "test_loss", "test_accuracy"):
        if column not in columns or not np.isfinite(values[:, columns.index(column)]).all():
            raise ValueError(f"{directory.epochs_file.name} has no usable {column}")
    return Epochs(tuple(columns), values)
