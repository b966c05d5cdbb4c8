"""Records of runs that ablate has not trained: of tasks of users, and of other tools."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ablate.records.epochs import TIMES, Epoch, split_statistic, summarise, total_times
from ablate.records.record import Config, Failure, ModelFacts, RunRecord, Size, Status

_LARGEST = sys.float_info.max  # what databases of trackers hold in place of infinity
Log = Sequence[Mapping[str, float]]  # what was logged at each step, by metric, in the order of the steps


def record_of_others(
    study: Config, variant: str, seed: int, settings: Config, precision: str, epochs: int = 0, **known: Any
) -> RunRecord:
    """Returns the record of a run that ablate has not trained; `settings` may tell its variant from others."""
    config = {
        "seed": seed,
        "study": dict(study),
        "model": {"name": variant, "base": {}, "edits": {}},
        "hardware": {"precision": precision},
        "data": {},
        "train": {"epochs": epochs},
        "settings": dict(settings),
    }
    about = {"study": str(study["name"]), "variant": variant, "seed": seed, "config": config}
    return RunRecord(**{"model": ModelFacts(after=Size()), "data": None, "pairing": None, **about, **known})


def value_at(step: Mapping[str, float], name: str) -> float:
    """Returns a metric of a step: NaN where it was not logged, infinity where a tracker stores the largest number."""
    value = step.get(name, math.nan)
    return math.copysign(math.inf, value) if abs(value) >= _LARGEST else value


def clock_of(logs: Sequence[Log], metrics: Sequence[str]) -> str:
    """Returns the metric that ends an epoch: the first that a run has more than once, as a test has not."""
    often = (name for name in metrics for log in logs if sum(name in step for step in log) > 1)
    return next(often, metrics[0])


def epochs_of(log: Log, metrics: Mapping[str, str], clock: str) -> list[Epoch]:
    """Returns the epochs of a run: one ends where the clock was logged; of the others, the last value before counts.

    What was logged after the last epoch's end, as the test of a trained model is, counts for the last epoch.
    """
    rows: list[Epoch] = []
    newest: dict[str, float] = {}
    for step in log:
        newest.update(step)
        if clock in step:
            row = {name: value_at(newest, theirs) for name, theirs in metrics.items()}
            rows.append({"epoch": len(rows) + 1, **dict.fromkeys(TIMES, 0.0), **row})
            newest = {}
    if rows:
        rows[-1] |= {name: value_at(newest, theirs) for name, theirs in metrics.items() if theirs in newest}
    return rows


def with_results(record: RunRecord, rows: Sequence[Epoch]) -> RunRecord:
    """Returns a complete run's record with what its epochs give; without a finite metric of the study it has failed."""
    if not record.is_complete:
        return record
    metric = split_statistic(record.study_options["metric"])[0]
    last = rows[-1].get(metric, math.nan) if rows else math.nan
    if math.isfinite(last):
        return replace(record, results=summarise(rows), times=total_times(rows))
    was_logged = any(not math.isnan(row.get(metric, math.nan)) for row in rows)
    why = f"{metric} is {last}" if was_logged else f"never logged {metric}"
    return replace(record, status=Status.FAILED, error=Failure(message=why))
