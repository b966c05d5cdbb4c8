"""Runs of other tools as run records."""

import hashlib
import math
import re
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ablate.messages import nearest
from ablate.records.epochs import TIMES, Epoch, summarise, total_times
from ablate.records.record import (
    Code,
    Failure,
    Imported,
    Machine,
    ModelFacts,
    Provenance,
    RunRecord,
    Size,
    Start,
    Status,
    config_of_others,
)
from ablate.records.study_directory import StudyDirectory
from ablate.sources.logged_run import LoggedRun

_METRIC = re.compile(r"\w+")
NAME = re.compile(r"(?!\.+$)[\w.+-]{1,100}")  # of a study or a variant: that of a folder too
_OURS = ("epoch", "lr", "images_per_second", "total_seconds", *TIMES)  # columns that are no metrics


def bring_in(
    runs: Sequence[LoggedRun],
    study: Path,
    *,
    tool: str,
    variant: str,
    seed: str,
    metrics: Mapping[str, str],
    settings: Sequence[str] = (),
    baseline: str | None = None,
) -> list[Path]:
    """Writes runs of another tool as run records, and returns their folders.

    Args:
        runs: As the tool logged them.
        study: The study's folder, such as outputs/mine; runs that were brought in before are replaced.
        tool: Its name.
        variant: The field with the variant's name.
        seed: The field with the seed, or with whatever else pairs runs, such as a fold.
        metrics: What the tool calls each metric, by the name that it gets; the first is the study's. An epoch ends
            where that one was logged; of the others, the last value before counts.
        settings: Fields that tell variants of one name apart.
        baseline: The variant that others are compared with.

    Raises:
        ValueError: A field is missing, a metric was never logged, or two runs have the same variant, seed and settings.
    """
    _check_metrics(runs, metrics)
    names = _names([_field(run, variant, "--variant") for run in runs], variant)
    baseline = _baseline(baseline, names)
    paired_by = [_field(run, seed, "--seed") for run in runs]
    chosen = [{name: _field(run, name, "--setting") for name in settings} for run in runs]
    cells: dict[tuple[str, ...], LoggedRun] = {}
    for run, name, by, given in zip(runs, names, paired_by, chosen, strict=True):
        other = cells.setdefault((name, by, str(given)), run)
        if other is not run:
            raise ValueError(
                f"{other.name} and {run.name} are both {name} with {seed} {by}; name what tells runs apart "
                "with --setting, or another --seed"
            )
    folders, layout = [], StudyDirectory(study)
    for run, cell, number, given in zip(runs, cells, _seeds(paired_by), chosen, strict=True):
        name, rows = cell[0], _rows(run, metrics)
        identity = hashlib.sha256(" ".join((tool, *cell)).encode()).hexdigest()[:8]
        record = _record(run, tool, identity, study.name, name, number, given, rows, next(iter(metrics)), baseline)
        directory = layout.run(name, number, identity)
        for earlier in layout.runs_of(name, identity):
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
        if not _METRIC.fullmatch(name) or name in _OURS:
            raise ValueError(
                f"--metric {name}: give it a name of letters, digits and _ that is no column of ablate's own, such as "
                f"test_accuracy={theirs}"
            )
        values = [row[theirs] for run in runs for row in run.history if theirs in row]
        if name.endswith("accuracy") and max(values) > 1:
            raise ValueError(
                f"--metric {name}: is {max(values)} in a run, and an accuracy is a share from 0 to 1; give percentages "
                f"another name, such as percent_correct={theirs}"
            )


def _field(run: LoggedRun, name: str, option: str) -> str:
    if run.fields.get(name) in (None, ""):
        raise ValueError(f"{option} {name}: run {run.name} has no such field; {nearest(name, map(str, run.fields))}")
    return str(run.fields[name])


def _names(values: Sequence[str], field: str) -> list[str]:
    """Returns values as names of variants: what no name may have becomes an underscore."""
    names = {value: re.sub(r"[^\w.+-]+", "_", value) for value in values}
    for value, name in names.items():
        if not NAME.fullmatch(name) or list(names.values()).count(name) > 1:
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
    with suppress(ValueError):
        numbers = [float(value) for value in values]
        if all(number.is_integer() for number in numbers):
            return [int(number) for number in numbers]
    place = {value: number for number, value in enumerate(sorted(set(values)))}
    return [place[value] for value in values]


def _rows(run: LoggedRun, metrics: Mapping[str, str]) -> list[Epoch]:
    """Returns the epochs of a run: one ends where the study's metric was logged."""
    first = next(iter(metrics.values()))
    rows: list[Epoch] = []
    newest: defaultdict[str, float] = defaultdict(lambda: math.nan)
    for step in run.history:
        newest.update(step)
        if first in step:
            row = {name: newest[theirs] for name, theirs in metrics.items()}
            rows.append({"epoch": len(rows) + 1, **dict.fromkeys(TIMES, 0.0), **row})
            newest.clear()
    return rows


def _record(
    run: LoggedRun,
    tool: str,
    identity: str,
    study: str,
    variant: str,
    seed: int,
    settings: Mapping[str, str],
    rows: Sequence[Epoch],
    metric: str,
    baseline: str,
) -> RunRecord:
    record = RunRecord(
        status=Status(run.status),
        id=identity,
        task=f"imported from {tool}",
        imported=Imported(tool=tool, run=run.name, at=datetime.now(UTC).isoformat(timespec="seconds")),
        study=study,
        variant=variant,
        seed=seed,
        config=config_of_others(
            variant,
            seed,
            study={"name": study, "baseline": baseline, "metric": metric, "claims": []},
            settings=settings,
            precision="unknown",
            epochs=len(rows),
        ),
        overrides=tuple(f"settings.{name}={value}" for name, value in settings.items()),
        started=run.started,
        starts=(Start(started=run.started),),
        model=ModelFacts(after=Size()),
        data=None,
        pairing=None,
        provenance=Provenance(code=Code(), packages={}, machine=Machine(cpu=None, cores=None)),
    )
    if record.is_complete:
        last = rows[-1][metric] if rows else math.nan
        if math.isfinite(last):
            return replace(record, results=summarise(rows), times=total_times(rows))
        why = f"{metric} is {last}" if rows else f"never logged {metric}"
        return replace(record, status=Status.FAILED, error=Failure(message=why))
    return record
