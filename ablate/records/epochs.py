"""The rows of epochs.csv, and the results of a run that are computed from them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

EPOCHS_FILE = "epochs.csv"
Epoch = dict[str, float]  # a row of epochs.csv, by column


# The parts of a run's time, in seconds: columns of epochs.csv and, summed, `times` of run.json.
TIMES = ("train_seconds", "eval_seconds", "data_seconds")


# What else an epoch takes, where it was asked for: bytes at the most, and joules.
COSTS = ("peak_memory", "energy")


# Columns of epochs.csv that are not results.
_NOT_RESULTS = ("epoch", "lr", "images_per_second", *TIMES)


# Names that no metric may have: columns of ours, in epochs.csv and in the tables of a report.
RESERVED = (
    *_NOT_RESULTS, "total_seconds", "study", "run", "variant", "seed", "clock", "parameters", "flops",
)  # fmt: skip


def field_name(text: str) -> str:
    """Returns a metric's name of elsewhere, such as `val/acc`, as one of letters, digits and underscores."""
    return re.sub(r"\W+", "_", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A metric over a run's epochs: its value after the last, and its extremes over all, with their epochs."""

    final: float
    maximum: float
    maximum_epoch: int
    minimum: float
    minimum_epoch: int


def summarise(rows: Sequence[Epoch]) -> dict[str, Result]:
    """Returns the results of a run's epochs by metric; energy is that of the whole run."""
    results = {}
    for name in rows[-1]:
        if name not in _NOT_RESULTS:
            known = [row for row in rows if not math.isnan(row.get(name, math.nan))] or [rows[-1]]
            highest = max(known, key=lambda row: row[name])
            lowest = min(known, key=lambda row: row[name])
            results[name] = Result(
                final=sum(row[name] for row in known) if name == "energy" else rows[-1][name],
                maximum=highest[name],
                maximum_epoch=int(highest["epoch"]),
                minimum=lowest[name],
                minimum_epoch=int(lowest["epoch"]),
            )
    return results


def total_times(rows: Sequence[Epoch]) -> dict[str, float]:
    """Returns the seconds that all epochs took, by part, and together as `total_seconds`."""
    times = {name: sum(row[name] for row in rows) for name in TIMES}
    return {**times, "total_seconds": sum(times.values())}
