"""What was predicted of a sweep's time, held against what it took."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from ablate.records.epochs import TIMES
from ablate.records.record import RunRecord
from ablate.records.study_directory import PLAN, read_study_file, read_study_files


@dataclass(frozen=True)
class Prediction:
    """The newest plan whose runs are complete."""

    file: str  # its name
    runs: int  # how many of its runs are complete, and were predicted
    predicted: float  # their core seconds, as predicted
    taken: float  # what they took
    largest: float  # the largest error of one run, as a share of what it took


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
    held = partial(_held_against, records, epochs)
    return next((one for one in read_study_files(folder, PLAN, held, broken) if one is not None), None)


def _held_against(records: Mapping[str, RunRecord], epochs: pd.DataFrame, path: Path) -> Prediction | None:
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
