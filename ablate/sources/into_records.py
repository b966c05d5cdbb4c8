"""Runs of other tools as run records."""

import math
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ablate.files import FOLDER_NAME, short_digest
from ablate.messages import nearest
from ablate.records.epochs import RESERVED, Epoch
from ablate.records.others import clock_of, epochs_of, record_of_others, value_at, with_results
from ablate.records.record import Code, Failure, Imported, Machine, Provenance, RunRecord, Start, Status, now
from ablate.records.study_directory import StudyDirectory
from ablate.sources.logged_run import UNPAIRED, LoggedRun, Wanted

_METRIC = re.compile(r"\w+")


class ImportedRun(NamedTuple):
    """A run of another tool as run.json and epochs.csv hold it."""

    record: RunRecord
    rows: list[Epoch]


def into_records(runs: Sequence[LoggedRun], study: str, tool: str, wanted: Wanted) -> list[ImportedRun]:
    """Returns runs of another tool as run records."""
    assert wanted.variant is not None and wanted.seed is not None and wanted.baseline is not None
    _check_metrics(runs, wanted.metrics)
    values = [_field(run, wanted.variant, "--variant") for run in runs]
    names = _names(values, wanted.variant)
    baseline = dict(zip(values, names, strict=True)).get(wanted.baseline, wanted.baseline)
    if baseline.partition(" (")[0] not in names:  # settings make labels, which the report knows
        raise ValueError(f"--baseline {baseline}: there is no such variant; {nearest(baseline, sorted(set(names)))}")
    options = {"name": study, "baseline": baseline, "metric": next(iter(wanted.metrics)), "claims": []}
    options |= {"pairing": "unpaired"} if wanted.seed == UNPAIRED else {}
    cells = _cells(runs, names, wanted)
    clock = clock_of([run.history for run in runs], list(wanted.metrics.values()))
    imported = []
    for (cell, (run, given)), number in zip(cells.items(), _seeds([by for _, by, _ in cells]), strict=True):
        rows = epochs_of(run.history, wanted.metrics, clock)
        record = record_of_others(
            options,
            cell[0],
            number,
            given,
            precision="unknown",
            epochs=len(rows),
            status=Status(run.status),
            error=Failure(message=run.why) if run.why else None,
            id=short_digest(" ".join((tool, *cell))),
            task=f"imported from {tool}",
            imported=Imported(tool=tool, run=run.name, at=now()),
            overrides=tuple(f"settings.{name}={value}" for name, value in given.items()),
            started=run.started,
            starts=(Start(started=run.started),),
            provenance=run.came_from or Provenance(code=Code(), packages={}, machine=Machine(cpu=None, cores=None)),
        )
        imported.append(ImportedRun(with_results(record, rows), rows))
    return imported


def _cells(
    runs: Sequence[LoggedRun], names: Sequence[str], wanted: Wanted
) -> dict[tuple[str, str, str], tuple[LoggedRun, dict[str, str]]]:
    """Returns a run and its settings by variant, seed and settings: of what was run again, one that is complete."""
    assert wanted.seed is not None
    cells: dict[tuple[str, str, str], tuple[LoggedRun, dict[str, str]]] = {}
    often: Counter[tuple[str, str]] = Counter()
    for run, name in zip(runs, names, strict=True):
        given = _settings(run, wanted.settings or (), runs)
        by = str(often[name, str(given)]) if wanted.seed == UNPAIRED else _field(run, wanted.seed, "--seed")
        often[name, str(given)] += 1
        other, _ = cells.setdefault((name, by, str(given)), (run, given))
        if other is not run and other.status == run.status == "complete":
            raise ValueError(
                f"{other.name} and {run.name} are both {name} with {wanted.seed} {by}; name what tells runs apart "
                f"with --setting, another --seed, or, if they are repetitions, --seed {UNPAIRED}"
            )
        if other.status != "complete":
            cells[name, by, str(given)] = run, given
    return cells


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
        values = [value for run in runs for row in run.history if math.isfinite(value := value_at(row, theirs))]
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


def _settings(run: LoggedRun, names: Sequence[str], runs: Sequence[LoggedRun]) -> dict[str, str]:
    """Returns the settings of a run; one that only some runs have says nothing of the others."""
    known = [name for name in names if name in run.fields or not any(name in other.fields for other in runs)]
    return {name: "null" if run.fields.get(name, "") is None else _field(run, name, "--setting") for name in known}


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
