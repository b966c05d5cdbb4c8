"""A complete run as the report reads it: its record and its epochs, both usable and of one mind."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate.config.edits import read_edits
from ablate.config.identity import run_id
from ablate.records.epochs import RESERVED, TIMES, Epoch, summarise, total_times
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
        ValueError: Something that the report needs is missing, has another form, or contradicts itself.
    """
    record = directory.read_record()
    if record is None:
        raise ValueError("there is no run.json")
    read_edits(record.edits)  # of any run, to say which variant it is
    if not record.is_complete:
        _refuse(contradictions(record, ()))
        return record, None
    define("", {"study": record.study_options}, None)
    for name in record.results:
        if name in RESERVED:
            raise ValueError(f"run.json has a result called {name}, as a column of ablate's own is")
    epochs = _epochs(directory, record)
    _refuse(contradictions(record, [dict(zip(epochs.columns, map(float, row), strict=True)) for row in epochs.values]))
    return record, epochs


def contradictions(record: RunRecord, rows: Sequence[Epoch]) -> Iterator[str]:
    """Yields where a record says other than what it follows from: its own configuration, and its epochs.

    Args:
        record: Of any run; the identity of another program's is not computed here, and taken as it is.
        rows: Its epochs, if it is complete.
    """
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
    if not record.is_complete:
        return
    missing = [name for name in TIMES if name not in rows[0]]
    if missing:
        yield f"epochs.csv has no {missing[0]}"
        return
    recorded, computed = (
        {**{name: asdict(result) for name, result in results.items()}, "times": times}
        for results, times in ((record.results, record.times), (summarise(rows), total_times(rows)))
    )
    for name in {**recorded, **computed}:
        first, second = recorded.get(name, {}), computed.get(name, {})
        if not _are_same(first, second):
            yield f"run.json says {name} {_shown(first)}, and epochs.csv gives {_shown(second)}"


def _are_same(first: Mapping[str, float], second: Mapping[str, float]) -> bool:
    return first.keys() == second.keys() and all(
        math.isclose(value, second[name], rel_tol=1e-9) or (math.isnan(value) and math.isnan(second[name]))
        for name, value in first.items()
    )


def _shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in values.items()) or "nothing"


def _refuse(reasons: Iterator[str]) -> None:
    if found := [*reasons]:
        raise ValueError("; ".join(found))


def _epochs(directory: RunDirectory, record: RunRecord) -> Epochs:
    columns, rows = directory.read_epoch_table(record.planned_epochs)
    if len(rows) != record.epochs:
        raise ValueError(f"{directory.epochs_file.name} has {len(rows)} of the run's {record.epochs} epochs")
    values = np.array(rows)
    own = ("train_loss", "test_loss", "test_accuracy") if record.task is None else ()
    for column in ("epoch", *own):
        if column not in columns or not np.isfinite(values[:, columns.index(column)]).all():
            raise ValueError(f"{directory.epochs_file.name} has no usable {column}")
    if values[:, columns.index("epoch")].tolist() != list(range(1, record.epochs + 1)):
        raise ValueError(f"{directory.epochs_file.name} has no usable epoch: they count from 1")
    return Epochs(tuple(columns), values)
