"""Run directories, read into tidy frames."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ablate.config.options import config_dir, options
from ablate.records.epochs import TIMES
from ablate.records.record import RunRecord
from ablate.records.study_directory import studies_below
from ablate.report.study.cache import read_runs
from ablate.report.study.definition import find
from ablate.report.study.predictions import read_prediction
from ablate.report.study.run_record import Epochs
from ablate.report.study.study import Study, Unfinished
from ablate.report.study.timings import read_timings
from ablate.report.study.variants import Variant, group


def find_studies(folder: Path) -> list[Path]:
    """Returns the folders of the studies at or below a folder: those that hold `<variant>/<run>/run.json`.

    Raises:
        ValueError: There is no run.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give the folder of a study, such as outputs/lenet_cifar10")
    studies = [study.folder for study in studies_below(folder)]
    if not studies:
        raise ValueError(f"{folder}: there are no runs in it; `python -m ablate -m` makes those of a study")
    return studies


def collect(folder: Path, folders: Sequence[Path] = (), file: Path | None = None) -> Study:
    """Reads the runs of a study. What cannot be read is named and left out.

    Args:
        folder: The study's folder.
        folders: Folders of config groups beside ablate's own.
        file: A study option's file, if not the one of the study's name.

    Raises:
        ValueError: No run is complete, or the study's definition cannot be read.
    """
    read = read_runs(folder)
    complete, others, broken = read.complete, read.others, read.broken
    if not complete:
        left_out = [f"{record.run}: {_why(record)}" for record in others]
        left_out += [f"{run}: {why}" for run, why in broken.items()]
        raise ValueError(
            f"{folder}: no run is complete ({'; '.join(left_out[:5])}); repeat the sweep's command to finish them"
        )

    complete.sort(key=lambda pair: (pair[0].run, pair[0].started))
    epochs_of = {record.run: epochs for record, epochs in complete}
    records = {record.run: record for record, _ in complete}
    if len(records) < len(complete):
        broken["several folders"] = "hold copies of one run; of each, the one started last counts"
    others = sorted(others, key=lambda record: record.run)
    unfinished = {record.run: record for record in others if record.run not in records}
    study = max(records.values(), key=lambda record: (record.started, record.run)).study_options
    groups = [*folders, config_dir()]
    definition = find(str(study.get("name", folder.name)), study, groups, file)

    everything = {**records, **unfinished}
    by_run = group(
        {run: record.config for run, record in everything.items()},
        {run: record.overrides for run, record in everything.items()},
    )
    ordered = sorted(
        {variant.label: variant for variant in by_run.values()}.values(),
        key=lambda variant: (
            variant.label != definition.baseline, variant.model != definition.baseline,
            len(variant.edits), variant.model, variant.label,
        ),
    )  # fmt: skip
    variants = {variant.label: variant for variant in ordered}
    place = {label: number for number, label in enumerate(variants)}
    order = sorted(records, key=lambda run: (place[by_run[run].label], records[run].seed, run))
    cells = [(by_run[run].label, records[run].seed) for run in order]
    for run, cell, before in zip(order[1:], cells[1:], cells, strict=False):
        if cell == before:
            broken[run] = "another run has its variant and seed; their settings differ in what changes no result"
    order = [run for run in order if run not in broken]
    runs = pd.DataFrame(
        [
            {"run": run, "variant": by_run[run].label, "seed": records[run].seed, **_metrics(records[run])}
            for run in order
        ]
    )
    if runs["total_seconds"].isna().all():  # as of runs that come from elsewhere
        runs = runs.drop(columns=[*TIMES, "total_seconds"])
    configs = {by_run[run].label: records[run].config for run in reversed(order)}
    timings = read_timings(folder, configs, broken)
    epochs = _frame({run: epochs_of[run] for run in order}, by_run, records)
    return Study(
        definition=definition,
        runs=runs,
        epochs=epochs,
        variants=variants,
        records={run: records[run] for run in order},
        unfinished=[
            Unfinished(run, by_run[run].label, record.seed, record.status.value, _why(record))
            for run, record in unfinished.items()
        ],
        broken=broken,
        models=options("model", groups),
        timings=timings,
        prediction=read_prediction(folder, {run: records[run] for run in order}, epochs, broken),
    )


def _why(record: RunRecord) -> str:
    return f"{record.status}: {record.cause}" if record.cause else record.status.value


def _metrics(record: RunRecord) -> dict[str, Any]:
    """Returns the metrics of a run, and what has to agree for times to be comparable."""
    metrics: dict[str, float] = {}
    for name, result in record.results.items():
        statistics = {name: result.final, f"{name}.maximum": result.maximum, f"{name}.minimum": result.minimum}
        metrics |= {key: float(value) if math.isfinite(value) else math.nan for key, value in statistics.items()}
    size, provenance = record.model.after, record.provenance
    clock = [
        provenance.machine,
        sorted({str(start.host) for start in record.starts}),
        provenance.accelerator,
        provenance.threads,
        provenance.packages.get("torch"),
        record.precision,
        # The time of a run that was trained with others is its share of theirs, and comparable with no other.
        record.run if record.cohort else None,
    ]
    return {
        **metrics,
        # Times are compared on logarithms, so one that is not above 0 does not count.
        **{
            name: seconds if (seconds := float(record.times[name])) > 0 else math.nan
            for name in (*TIMES, "total_seconds")
        },
        "parameters": size.parameters or 0,
        "flops": size.flops or 0,
        "clock": str(clock),
    }


def _frame(
    epochs_of: Mapping[str, Epochs], variants: Mapping[str, Variant], records: Mapping[str, RunRecord]
) -> pd.DataFrame:
    """Returns a row an epoch."""
    columns = list(dict.fromkeys(name for epochs in epochs_of.values() for name in epochs.columns))
    lengths = [len(epochs.values) for epochs in epochs_of.values()]
    values = np.full((sum(lengths), len(columns)), np.nan)
    place = {names: [columns.index(name) for name in names] for names in {e.columns for e in epochs_of.values()}}
    start = 0
    for epochs in epochs_of.values():
        values[start : start + len(epochs.values), place[epochs.columns]] = epochs.values
        start += len(epochs.values)
    frame = pd.DataFrame(values, columns=columns)
    of_run = {
        "run": list(epochs_of),
        "variant": [variants[run].label for run in epochs_of],
        "seed": [records[run].seed for run in epochs_of],
    }
    for name, each in of_run.items():
        frame[name] = pd.Series(each).repeat(lengths).to_numpy()
    frame["epoch"] = frame["epoch"].astype(int)
    return frame


class Runs(NamedTuple):
    """A frame with a row a run, and one with a row an epoch."""

    runs: pd.DataFrame
    epochs: pd.DataFrame


def load_runs(path: Path) -> Runs:
    """Returns the complete runs of all studies at or below a folder; `ablate.load_runs` says more."""
    studies = [collect(folder) for folder in find_studies(path)]
    return Runs(
        pd.concat([_named(study, study.runs.drop(columns="clock")) for study in studies], ignore_index=True),
        pd.concat([_named(study, study.epochs) for study in studies], ignore_index=True),
    )


def _named(study: Study, frame: pd.DataFrame) -> pd.DataFrame:
    frame.insert(0, "study", study.definition.name)
    return frame
