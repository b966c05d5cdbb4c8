"""What was predicted of a sweep's time, held against what it took."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ablate.records.epochs import TIMES
from ablate.records.record import RunRecord
from ablate.records.study_directory import PLAN, StudyDirectory, read_study_file


@dataclass(frozen=True)
class Prediction:
    """The newest plan whose runs are complete.

    Attributes:
        file: Its name.
        runs: How many of its runs are complete, and were predicted.
        predicted: Their core seconds, as predicted.
        taken: What they took.
        largest: The largest error of one run, as a share of what it took.
    """

    file: str
    runs: int
    predicted: float
    taken: float
    largest: float


def read_prediction(
    folder: Path, records: Mapping[str, RunRecord], epochs: pd.DataFrame, broken: dict[str, str]
) -> Prediction | None:
    """Returns what the newest plan of complete runs predicted; what cannot be read goes to `broken`.

    Args:
        folder: The study's.
        records: The record of each complete run, by run.
        epochs: Their epochs, with the columns of epochs.csv and `run`.
        broken: What is wrong, by file.
    """
    for path in StudyDirectory(folder).files(PLAN):
        try:
            found = _held_against(path, records, epochs)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            broken[f"{PLAN}/{path.name}"] = f"cannot be read as a plan: {error}"
            continue
        if found is not None:
            return found
    return None


def _held_against(path: Path, records: Mapping[str, RunRecord], epochs: pd.DataFrame) -> Prediction | None:
    cells = {str(cell["run"]): cell for cell in read_study_file(path)["cells"] if cell["core_seconds"] is not None}
    planned = epochs[epochs["run"].isin(list(cells))]
    if planned.empty:
        return None
    trained = planned[planned["epoch"] > planned["run"].map({run: int(cell["done"]) for run, cell in cells.items()})]
    seconds = trained.groupby("run")[list(TIMES)].sum().sum(axis=1)
    taken_by = {str(run): float(each) * (records[str(run)].provenance.threads or 0) for run, each in seconds.items()}
    pairs = [(float(cells[run]["core_seconds"]), taken) for run, taken in taken_by.items() if taken > 0]
    if not pairs:
        return None
    return Prediction(
        file=path.name,
        runs=len(pairs),
        predicted=sum(predicted for predicted, _ in pairs),
        taken=sum(taken for _, taken in pairs),
        largest=max(abs(predicted - taken) / taken for predicted, taken in pairs),
    )
