"""Runs of other tools as run records."""

import hashlib
import math
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from ablate.files import FOLDER_NAME
from ablate.messages import nearest
from ablate.records.epochs import RESERVED, TIMES, Epoch, summarise, total_times
from ablate.records.others import record_of_others
from ablate.records.record import Code, Failure, Imported, Machine, Provenance, RunRecord, Start, Status
from ablate.records.study_directory import StudyDirectory
from ablate.sources.logged_run import LoggedRun, Wanted

_METRIC = re.compile(r"\w+")
_LARGEST = sys.float_info.max  # what databases of trackers hold in place of infinity


class ImportedRun(NamedTuple):
    """A run of another tool as run.json and epochs.csv hold it."""

    record: RunRecord
    rows: list[Epoch]


def into_records(runs: Sequence[LoggedRun], study: str, tool: str, wanted: Wanted) -> list[ImportedRun]:
    """Returns runs of another tool as run records.

    An epoch ends where the study's metric was logged; of the others, the last value before counts. What was logged
    after the last epoch's end, as the test of a trained model is, counts for the last epoch.

    Args:
        runs: As the tool logged them.
        study: The study's name.
        tool: Its name.
        wanted: What to take of the runs.

    Raises:
        ValueError: A field is missing, a metric was never logged, or two runs have the same variant, seed and settings.
    """
    _check_metrics(runs, wanted.metrics)
    names = _names([_field(run, wanted.variant, "--variant") for run in runs], wanted.variant)
    options = {
        "name": study,
        "baseline": _baseline(wanted.baseline, names),
        "metric": next(iter(wanted.metrics)),
        "claims": [],
    }
    paired_by = [_field(run, wanted.seed, "--seed") for run in runs]
    chosen = [{name: _field(run, name, "--setting") for name in wanted.settings} for run in runs]
    cells: dict[tuple[str, ...], LoggedRun] = {}
    for run, name, by, given in zip(runs, names, paired_by, chosen, strict=True):
        other = cells.setdefault((name, by, str(given)), run)
        if other is not run:
            raise ValueError(
                f"{other.name} and {run.name} are both {name} with {wanted.seed} {by}; name what tells runs apart "
                "with --setting, or another --seed"
            )
    imported = []
    for run, cell, number, given in zip(runs, cells, _seeds(paired_by), chosen, strict=True):
        rows = _rows(run, wanted.metrics)
        record = record_of_others(
            options,
            cell[0],
            number,
            given,
            precision="unknown",
            epochs=len(rows),
            status=Status(run.status),
            id=hashlib.sha256(" ".join((tool, *cell)).encode()).hexdigest()[:8],
            task=f"imported from {tool}",
            imported=Imported(tool=tool, run=run.name, at=datetime.now(UTC).isoformat(timespec="seconds")),
            overrides=tuple(f"settings.{name}={value}" for name, value in given.items()),
            started=run.started,
            starts=(Start(started=run.started),),
            provenance=Provenance(code=Code(), packages={}, machine=Machine(cpu=None, cores=None)),
        )
        imported.append(ImportedRun(_with_results(record, rows), rows))
    return imported


def write_records(imported: Sequence[ImportedRun], study: Path) -> list[Path]:
    """Writes imported runs into a study's folder, such as outputs/mine, and returns the folders of the runs.

    Runs that were imported before are replaced.
    """
    folders, layout = [], StudyDirectory(study)
    for record, rows in imported:
        directory = layout.run(record.variant, record.seed, record.id)
        for earlier in layout.runs_of(record.variant, record.id):
            if earlier.folder != directory.folder:  # further folds have moved its place
                shutil.rmtree(earlier.folder)
        directory.folder.mkdir(parents=True, exist_ok=True)
        with directory.lock():
            if rows:
                directory.write_epochs(rows)
            directory.write_record(record)
        folders.append(directory.folder)
    return folders


def _check_metrics(runs: Sequence[LoggedRun], metrics: Mapping[str, str]) -> None:
    logged = sorted({name for run in runs for row in run.history for name in row})
    if not metrics:
        raise ValueError(f"--metric: say which to compare; {nearest('', logged)}")
    for name, theirs in metrics.items():
        if theirs not in logged:
            raise ValueError(f"--metric {theirs}: no run has logged it; {nearest(theirs, logged)}")
        if not _METRIC.fullmatch(name) or name in RESERVED:
            raise ValueError(
                f"--metric {name}: give it a name of letters, digits and _ that is no column of ablate's own, such as "
                f"test_accuracy={theirs}"
            )
        values = [value for run in runs for row in run.history if math.isfinite(value := _value(row, theirs))]
        if name.endswith("accuracy") and max(values, default=0) > 1:
            raise ValueError(
                f"--metric {name}: is {max(values)} in a run, and an accuracy is a share from 0 to 1; give percentages "
                f"another name, such as percent_correct={theirs}"
            )


def _field(run: LoggedRun, name: str, option: str) -> str:
    if run.fields.get(name) in (None, ""):
        others = nearest(name, [field for field in map(str, run.fields) if field != name])
        raise ValueError(f"{option} {name}: run {run.name} says nothing there; fill it in, or take another: {others}")
    return str(run.fields[name])


def _names(values: Sequence[str], field: str) -> list[str]:
    """Returns values as names of variants: what no name may have becomes an underscore."""
    names = {value: re.sub(r"[^\w.+-]+", "_", value) for value in values}
    for value, name in names.items():
        if not FOLDER_NAME.fullmatch(name) or list(names.values()).count(name) > 1:
            raise ValueError(f"--variant {field}: {value!r} cannot be told from others as a name; rename it")
    return [names[value] for value in values]


def _baseline(given: str | None, names: Sequence[str]) -> str:
    known = sorted(set(names))
    if given is None and "plain" not in known:
        raise ValueError(f"--baseline: say which variant the others are compared with; {nearest('', known)}")
    if given is not None and given not in known:
        raise ValueError(f"--baseline {given}: there is no such variant; {nearest(given, known)}")
    return given or "plain"


def _seeds(values: Sequence[str]) -> list[int]:
    """Returns seeds as whole numbers: themselves, or the place in the order of what else pairs the runs."""
    numbers = {value: _whole(value) for value in values}
    if None not in numbers.values() and len(set(numbers.values())) == len(numbers):  # 1 and 001 are two
        return [number for value in values if (number := numbers[value]) is not None]
    place = {value: number for number, value in enumerate(sorted(set(values)))}
    return [place[value] for value in values]


def _whole(text: str) -> int | None:
    with suppress(ValueError):
        return int(text)
    with suppress(ValueError):
        return int(number) if (number := float(text)).is_integer() else None
    return None


def _value(step: Mapping[str, float], name: str) -> float:
    """Returns a metric of a step: NaN where it was not logged, infinity where a tracker stores the largest number."""
    value = step.get(name, math.nan)
    return math.copysign(math.inf, value) if abs(value) >= _LARGEST else value


def _rows(run: LoggedRun, metrics: Mapping[str, str]) -> list[Epoch]:
    """Returns the epochs of a run: one ends where the study's metric was logged."""
    first = next(iter(metrics.values()))
    rows: list[Epoch] = []
    newest: dict[str, float] = {}
    for step in run.history:
        newest.update(step)
        if first in step:
            row = {name: _value(newest, theirs) for name, theirs in metrics.items()}
            rows.append({"epoch": len(rows) + 1, **dict.fromkeys(TIMES, 0.0), **row})
            newest = {}
    if rows:
        rows[-1] |= {name: _value(newest, theirs) for name, theirs in metrics.items() if theirs in newest}
    return rows


def _with_results(record: RunRecord, rows: Sequence[Epoch]) -> RunRecord:
    """Returns a complete run's record with what its epochs give; without a finite metric of the study it has failed."""
    if not record.is_complete:
        return record
    metric = record.study_options["metric"]
    last = rows[-1][metric] if rows else math.nan
    if math.isfinite(last):
        return replace(record, results=summarise(rows), times=total_times(rows))
    why = f"{metric} is {last}" if rows else f"never logged {metric}"
    return replace(record, status=Status.FAILED, error=Failure(message=why))
