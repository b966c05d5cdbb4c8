"""The runs of a study, from run directories or from a table, as tidy frames."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from ablate.config.identity import variant_id
from ablate.config.options import config_dir, options
from ablate.files import Plain, PlainMapping
from ablate.messages import nearest
from ablate.records.epochs import TIMES, Result, last_of, over_epochs, split_statistic
from ablate.records.record import RunRecord
from ablate.records.study_directory import studies_below
from ablate.report.study.cache import StudyRuns, read_runs
from ablate.report.study.definition import Definition, find
from ablate.report.study.knockouts import read_knockouts
from ablate.report.study.metrics import metric
from ablate.report.study.predictions import read_prediction
from ablate.report.study.run_record import Epochs
from ablate.report.study.study import Cell, Study
from ablate.report.study.timings import read_timings
from ablate.report.study.variants import Variant, data_key, group, relabelled
from ablate.sources.inference import likely_baseline
from ablate.sources.into_records import into_records
from ablate.sources.logged_run import LoggedRun, Wanted


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


def collect(folder: Path, folders: Sequence[Path] = (), file: Path | None = None, baseline: str | None = None) -> Study:
    """Reads the runs of a study. What cannot be read is named and left out.

    Args:
        folder: The study's folder.
        folders: Folders of config groups beside ablate's own.
        file: A study option's file, if not the one of the study's name.
        baseline: The variant that others are compared with; else that of the definition or, where it has no runs, the
            one that the runs' command would have trained without sweeping over anything.

    Raises:
        ValueError: No run is complete, the study's definition cannot be read, or there is no such baseline.
    """
    runs = read_runs(folder)
    newest = _newest(runs, folder)
    recorded = newest.study_options
    groups = [*folders, config_dir()]
    definition = find(str(recorded.get("name", folder.name)), recorded, groups, file, newest.overrides)
    models = options("model", groups)
    study = _study(definition if baseline is None else replace(definition, baseline=baseline), runs, models)
    if study.definition.baseline not in study.labels:
        says_data = ("data", data_key(study.variants.values()))
        first_of: dict[str, str] = {}  # the first label of each variant, whatever its data set
        for label in study.labels:
            first_of.setdefault(relabelled(label, says_data), label)
        own = [first_of[name] for name in first_of if name == study.definition.baseline]
        if baseline is not None and not own:
            raise ValueError(f"--baseline {baseline}: there is no such variant; {nearest(baseline, study.labels)}")
        own += [label for label in study.labels if _is_own(study.records[study.of(label)["run"].iloc[0]])]
        if newest.task is not None and not recorded.get("baseline"):  # nobody has said which
            own.append(first_of[likely_baseline([*first_of])])
        if own:
            study = _study(replace(study.definition, baseline=own[0]), runs, models)
    first = study.runs.drop_duplicates("variant")
    configs = {label: study.records[run].config for run, label in zip(first["run"], first["variant"], strict=True)}
    return replace(
        study,
        knockouts=read_knockouts(folder, study.records, runs.broken),
        timings=read_timings(folder, configs, runs.broken),
        prediction=read_prediction(folder, study.records, study.epochs, runs.broken),
    )


def collect_others(
    name: str, tool: str, logged: Sequence[LoggedRun], wanted: Wanted, defined: Definition | None = None
) -> Study:
    """Returns runs of others as a study: as the records that `ablate import` would write of them.

    Args:
        name: What to call the study.
        tool: What has logged the runs.
        logged: The runs.
        wanted: What to take of them, in full.
        defined: Claims and published figures.

    Raises:
        ValueError: A value cannot be used, or no run is complete; the message says where and what to do.
    """
    runs = StudyRuns()
    imported = into_records(logged, name, tool, wanted)
    for record, rows in imported:
        assert record.imported is not None
        if record.is_complete:
            runs.add(record.imported.run, record, Epochs.of(rows))
        else:
            runs.others[record.imported.run] = record
    recorded = _newest(runs, Path(name)).study_options
    judged = {key: recorded[key] for key in ("baseline", "metric", "pairing") if key in recorded}
    definition = replace(defined or Definition(name), **judged)
    study = _study(definition, runs, {})
    if definition.baseline not in study.labels:  # the name of a variant that comes with several settings
        label_of = dict(zip(study.runs["run"], study.runs["variant"], strict=True))
        of_name = [run for run in runs.complete if runs.complete[run][0].variant == definition.baseline]
        if not of_name:
            raise ValueError(
                f"--baseline {definition.baseline}: there is no such variant; "
                f"{nearest(definition.baseline, study.labels)}"
            )
        study = _study(replace(definition, baseline=label_of[of_name[0]]), runs, {})
    is_table = all(len(rows) <= 1 for _, rows in imported)  # a row a run, which knows of no epochs
    return replace(study, epochs=pd.DataFrame()) if is_table else study


def _is_own(record: RunRecord) -> bool:
    """Whether a run is of the variant that its command would have trained without sweeping over anything."""
    plan = record.plan
    return plan is not None and plan.own_variant is not None and plan.own_variant == variant_id(record.config)


def _newest(runs: StudyRuns, where: Path) -> RunRecord:
    """Returns the record of the complete run that was started last.

    Raises:
        ValueError: No run is complete.
    """
    if not runs.complete:
        left_out = [f"{run}: {_why(record)}" for run, record in runs.others.items()]
        left_out += [f"{run}: {why}" for run, why in runs.broken.items()]
        raise ValueError(
            f"{where}: no run is complete ({'; '.join(left_out[:5])}); repeat the sweep's command to finish them"
        )
    return max((record.started, run, record) for run, (record, _) in runs.complete.items())[2]


def _study(definition: Definition, runs: StudyRuns, models: Mapping[str, PlainMapping]) -> Study:
    """Returns the runs as a study: grouped into variants, in the order they are shown."""
    complete = {run: record for run, (record, _) in sorted(runs.complete.items())}
    unfinished = {run: record for run, record in sorted(runs.others.items()) if run not in complete}
    everything = {**complete, **unfinished}
    variant_of = group(
        {run: _compared(record) for run, record in everything.items()},
        {run: record.overrides for run, record in everything.items()},
        definition.components,
    )
    variants = _in_order(variant_of.values(), definition.baseline)
    place = {label: number for number, label in enumerate(variants)}
    ordered = sorted(complete, key=lambda run: (place[variant_of[run].label], complete[run].seed, run))
    epochs = {run: of_run for run, (_, of_run) in runs.complete.items()}
    frame = _run_frame({run: complete[run] for run in ordered}, epochs, variant_of, definition)
    for run in frame.loc[frame.duplicated(["variant", "seed"]), "run"]:
        runs.broken[run] = "another run has its variant and seed; their settings differ in what changes no result"
    frame = frame.drop_duplicates(["variant", "seed"], ignore_index=True)
    return Study(
        definition=definition,
        runs=frame,
        epochs=_epoch_frame(frame, [epochs[run] for run in frame["run"]]),
        variants=variants,
        records={run: complete[run] for run in frame["run"]},
        unfinished={
            run: Cell(variant_of[run].label, record.seed, record.status.value, _why(record))
            for run, record in unfinished.items()
        },
        broken=runs.broken,
        models=models,
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


def _why(record: RunRecord) -> str:
    return f"{record.status}: {record.cause}" if record.cause else record.status.value


_EXTREMES = ("maximum", "minimum")


def _statistics(definition: Definition) -> list[str]:
    """Returns the statistics over epochs that a report has; of last epochs, as many as are asked for."""
    claims = [claim for claim in definition.claims if isinstance(claim, Mapping)]
    named = [definition.metric, *(str(claim.get("metric")) for claim in claims)]
    asked = [statistic for name in named if last_of(statistic := split_statistic(name)[1])]
    return list(dict.fromkeys([*_EXTREMES, "last5", "best", "at_best_validation", *asked]))


def _run_frame(
    records: Mapping[str, RunRecord],
    epochs: Mapping[str, Epochs],
    variant_of: Mapping[str, Variant],
    definition: Definition,
) -> pd.DataFrame:
    """Returns a row a run: what it is, its metrics, and the clock that its times were taken by."""
    frame = pd.DataFrame(
        [
            {
                "run": run,
                "variant": variant_of[run].label,
                "seed": record.seed,
                **_metrics(record, epochs[run], definition),
            }
            for run, record in records.items()
        ]
    )
    times = [name for name in (*TIMES, "total_seconds") if not frame[name].isna().all()]
    if times == ["train_seconds", "total_seconds"]:  # of a task, of whose time the parts are not known
        times = ["total_seconds"]
    frame = frame.drop(columns=[name for name in (*TIMES, "total_seconds") if name not in times])
    return frame.drop(columns=[name for name in map(str, frame) if "." in name and frame[name].isna().all()])


def _metrics(record: RunRecord, epochs: Epochs, definition: Definition) -> Plain:
    """Returns the metrics of a run, and what has to agree for times to be comparable."""
    size, statistics = record.model.after, _statistics(definition)
    return {
        **dict(_results(record.results, epochs, statistics, definition.metrics)),
        # Times are compared on logarithms, so one that is not above 0 does not count.
        **{name: record.times[name] if record.times[name] > 0 else math.nan for name in (*TIMES, "total_seconds")},
        "parameters": math.nan if size.parameters is None else size.parameters,
        "flops": math.nan if size.flops is None else size.flops,
        "clock": _clock(record),
    }


def _results(
    results: Mapping[str, Result], epochs: Epochs, statistics: Sequence[str], declared: PlainMapping
) -> Iterator[tuple[str, float]]:
    """Yields each result, and its statistics over epochs, by the name of the metric that each is."""
    columns = dict(zip(epochs.columns, epochs.values.T.tolist(), strict=True))
    for name, result in results.items():
        values = {name: float(result.final)}
        if name in columns:
            chosen = (
                _EXTREMES if metric(name, declared).of_class else statistics
            )  # classes and pairs of them are very many
            values |= {f"{name}.{each}": over_epochs(f"{name}.{each}", columns, declared) for each in chosen}
        for each, value in values.items():
            yield each, value if math.isfinite(value) else math.nan


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


def _epoch_frame(runs: pd.DataFrame, epochs: Sequence[Epochs]) -> pd.DataFrame:
    """Returns a row an epoch of each run."""
    columns = list(dict.fromkeys(name for each in epochs for name in each.columns))
    place = {names: [columns.index(name) for name in names] for names in {each.columns for each in epochs}}
    lengths = [len(each.values) for each in epochs]
    values = np.full((sum(lengths), len(columns)), np.nan)
    start = 0
    for each, length in zip(epochs, lengths, strict=True):
        values[start : start + length, place[each.columns]] = each.values
        start += length
    frame = pd.DataFrame(values, columns=columns)
    for name in ("run", "variant", "seed"):
        frame[name] = runs[name].repeat(lengths).to_numpy()
    frame["epoch"] = frame["epoch"].astype(int)
    return frame


class Runs(NamedTuple):
    """A frame with a row a run, and one with a row an epoch."""

    runs: pd.DataFrame
    epochs: pd.DataFrame

    def _repr_html_(self) -> str:
        """Returns the frame of the runs, which is what a notebook shows."""
        return self.runs.to_html(max_rows=20)


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
