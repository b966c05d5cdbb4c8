"""The runs of a study, from run directories or from a table, as tidy frames."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ablate.config.options import config_dir, load, options
from ablate.files import Plain, PlainMapping
from ablate.records.epochs import TIMES, Result, last_of, over_epochs, split_statistic
from ablate.records.record import RunRecord
from ablate.records.study_directory import studies_below
from ablate.report.study.cache import StudyRuns, read_runs
from ablate.report.study.definition import Definition, define, find
from ablate.report.study.predictions import read_prediction
from ablate.report.study.run_record import Epochs
from ablate.report.study.study import Study, Unfinished
from ablate.report.study.timings import read_timings
from ablate.report.study.variants import Variant, group
from ablate.sources import csv_table
from ablate.sources.into_records import into_records, metric_names


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
    runs = _sorted_out(read_runs(folder), folder, lambda record: record.run)
    recorded = runs.newest.study_options
    groups = [*folders, config_dir()]
    definition = find(str(recorded.get("name", folder.name)), recorded, groups, file)
    study = _study(definition, runs, models=options("model", groups))
    configs = {str(label): study.records[run].config for run, label in _first_runs(study)}
    return replace(
        study,
        timings=read_timings(folder, configs, runs.broken),
        prediction=read_prediction(folder, study.records, study.epochs, runs.broken),
    )


def collect_table(
    file: Path,
    *,
    variant: str,
    seed: str,
    metrics: Mapping[str, str],
    settings: Sequence[str] = (),
    baseline: str | None = None,
    definition: Path | None = None,
) -> Study:
    """Reads a table with a row a run as a study: as the records that `ablate import csv` would write of it.

    Args:
        file: The CSV file (or TSV).
        variant: The column with the variants' names.
        seed: The column with the seeds, or with whatever pairs the runs: a fold, a data set.
        metrics: The columns to compare, by the name that each gets; the study's metric first.
        settings: Columns that tell variants of one name apart.
        baseline: The variant that others are compared with.
        definition: A study option's file, for its claims and published figures.

    Raises:
        ValueError: The table, a column or a cell of it cannot be used; the message says where and what to do.
    """
    content = None if definition is None else load(definition)
    defined = Definition(file.stem, baseline="") if content is None else define(file.stem, content, None)
    if not metrics and content is not None:
        metrics = metric_names([defined.metric])
    logged = csv_table.read(file, variant, seed, list(metrics.values()), settings)
    imported = into_records(
        logged, file.stem, tool="csv", variant=variant, seed=seed, metrics=metrics, settings=settings,
        baseline=baseline or defined.baseline or None,
    )  # fmt: skip
    found = StudyRuns()
    for record, rows in imported:
        if record.is_complete:
            found.complete.append((record, Epochs(tuple(rows[0]), np.array([list(row.values()) for row in rows]))))
        else:
            found.others.append(record)
    runs = _sorted_out(found, file, _name_of_import)
    recorded = runs.newest.study_options
    study = _study(replace(defined, baseline=recorded["baseline"], metric=recorded["metric"]), runs)
    return replace(study, epochs=pd.DataFrame())  # a row a run knows of none


@dataclass(frozen=True)
class _Runs:
    """The runs of a study, by their names.

    Attributes:
        complete: The records of complete runs.
        epochs: Their epochs.
        unfinished: The records of the others.
        broken: What is wrong with what cannot be read, by its folder.
    """

    complete: Mapping[str, RunRecord]
    epochs: Mapping[str, Epochs]
    unfinished: Mapping[str, RunRecord]
    broken: dict[str, str]

    @property
    def newest(self) -> RunRecord:
        """The record of the complete run that was started last."""
        return max(self.complete.items(), key=lambda item: (item[1].started, item[0]))[1]


def _sorted_out(found: StudyRuns, where: Path, name_of: Callable[[RunRecord], str]) -> _Runs:
    """Returns runs by name; of copies of one run, the one started last.

    Raises:
        ValueError: No run is complete.
    """
    broken = dict(found.broken)
    if not found.complete:
        left_out = [f"{name_of(record)}: {_why(record)}" for record in found.others]
        left_out += [f"{run}: {why}" for run, why in broken.items()]
        raise ValueError(
            f"{where}: no run is complete ({'; '.join(left_out[:5])}); repeat the sweep's command to finish them"
        )
    ordered = sorted(found.complete, key=lambda pair: (name_of(pair[0]), pair[0].started))
    complete = {name_of(record): record for record, _ in ordered}
    if len(complete) < len(ordered):
        broken["several folders"] = "hold copies of one run; of each, the one started last counts"
    others = {name_of(record): record for record in sorted(found.others, key=name_of)}
    return _Runs(
        complete=complete,
        epochs={name_of(record): epochs for record, epochs in ordered},
        unfinished={name: record for name, record in others.items() if name not in complete},
        broken=broken,
    )


def _study(definition: Definition, runs: _Runs, models: Mapping[str, PlainMapping] | None = None) -> Study:
    """Returns the runs as a study: grouped into variants, in the order they are shown."""
    everything = {**runs.complete, **runs.unfinished}
    variant_of = group(
        {run: _compared(record) for run, record in everything.items()},
        {run: record.overrides for run, record in everything.items()},
    )
    variants = _in_order(variant_of.values(), definition.baseline)
    records = _one_a_cell(runs, variant_of, list(variants))
    return Study(
        definition=definition,
        runs=_run_frame(records, runs.epochs, variant_of, _statistics(definition)),
        epochs=_epoch_frame({run: runs.epochs[run] for run in records}, variant_of, records),
        variants=variants,
        records=records,
        unfinished=[
            Unfinished(run, variant_of[run].label, record.seed, record.status.value, _why(record))
            for run, record in runs.unfinished.items()
        ],
        broken=runs.broken,
        models=models or {},
    )


def _compared(record: RunRecord) -> PlainMapping:
    """Returns the configuration that makes a run's variant; how long others' runs turned out to be is no part of it."""
    config = record.config
    return config if record.task is None else {key: value for key, value in config.items() if key != "train"}


def _in_order(variants: Iterable[Variant], baseline: str) -> dict[str, Variant]:
    """Returns variants by label: the baseline first, then its settings, then by number of edits."""
    ordered = sorted(
        {variant.label: variant for variant in variants}.values(),
        key=lambda variant: (
            variant.label != baseline, variant.model != baseline, len(variant.edits), variant.model, variant.label,
        ),
    )  # fmt: skip
    return {variant.label: variant for variant in ordered}


def _one_a_cell(runs: _Runs, variant_of: Mapping[str, Variant], labels: Sequence[str]) -> dict[str, RunRecord]:
    """Returns the complete runs in the order they are shown; of several with one variant and seed, the first."""
    place = {label: number for number, label in enumerate(labels)}
    cells = {run: (place[variant_of[run].label], record.seed) for run, record in runs.complete.items()}
    chosen: dict[tuple[int, int], str] = {}
    for run in sorted(cells, key=lambda run: (*cells[run], run)):
        if chosen.setdefault(cells[run], run) != run:
            runs.broken[run] = "another run has its variant and seed; their settings differ in what changes no result"
    return {run: runs.complete[run] for run in chosen.values()}


def _statistics(definition: Definition) -> list[str]:
    """Returns the statistics over epochs that a report has; of last epochs, as many as are asked for."""
    claims = [claim for claim in definition.claims if isinstance(claim, Mapping)]
    named = [definition.metric, *(str(claim.get("metric")) for claim in claims)]
    asked = [statistic for name in named if last_of(statistic := split_statistic(name)[1])]
    return list(dict.fromkeys(["maximum", "minimum", "last5", "best", "at_best_validation", *asked]))


def _run_frame(
    records: Mapping[str, RunRecord],
    epochs: Mapping[str, Epochs],
    variant_of: Mapping[str, Variant],
    statistics: Sequence[str],
) -> pd.DataFrame:
    """Returns a row a run: what it is, its metrics, and the clock that its times were taken by."""
    frame = pd.DataFrame(
        [
            {
                "run": run,
                "variant": variant_of[run].label,
                "seed": record.seed,
                **_metrics(record, epochs[run], statistics),
            }
            for run, record in records.items()
        ]
    )
    if frame["total_seconds"].isna().all():  # as of runs that come from elsewhere
        frame = frame.drop(columns=[*TIMES, "total_seconds"])
    return frame.drop(columns=[name for name in map(str, frame) if "." in name and frame[name].isna().all()])


def _first_runs(study: Study) -> Iterator[tuple[str, str]]:
    """Yields a run of each variant, and its label."""
    first = study.runs.drop_duplicates("variant")
    yield from zip(map(str, first["run"]), map(str, first["variant"]), strict=True)


def _name_of_import(record: RunRecord) -> str:
    assert record.imported is not None
    return record.imported.run


def _why(record: RunRecord) -> str:
    return f"{record.status}: {record.cause}" if record.cause else record.status.value


def _metrics(record: RunRecord, epochs: Epochs, statistics: Sequence[str]) -> Plain:
    """Returns the metrics of a run, and what has to agree for times to be comparable."""
    size = record.model.after
    return {
        **dict(_results(record.results, epochs, statistics)),
        # Times are compared on logarithms, so one that is not above 0 does not count.
        **{name: record.times[name] if record.times[name] > 0 else math.nan for name in (*TIMES, "total_seconds")},
        "parameters": math.nan if size.parameters is None else size.parameters,
        "flops": math.nan if size.flops is None else size.flops,
        "clock": _clock(record),
    }


def _results(results: Mapping[str, Result], epochs: Epochs, statistics: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Yields each result, and its statistics over epochs, by the name of the metric that each is."""
    columns = dict(zip(epochs.columns, epochs.values.T.tolist(), strict=True))
    for name, result in results.items():
        values = {name: float(result.final)}
        if name in columns:
            values |= {f"{name}.{each}": over_epochs(f"{name}.{each}", columns) for each in statistics}
        for metric, value in values.items():
            yield metric, value if math.isfinite(value) else math.nan


def _clock(record: RunRecord) -> str:
    """Returns what two runs share if their times can be compared."""
    provenance = record.provenance
    return str(
        [
            provenance.machine,
            sorted({str(start.host) for start in record.starts}),
            provenance.accelerator,
            provenance.threads,
            provenance.packages.get("torch"),
            record.precision,
            # The time of a run that was trained with others is its share of theirs: comparable with no other.
            record.run if record.cohort else None,
        ]
    )


def _epoch_frame(
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
