"""What a sweep would do, and how long it would take: its cells, its cohorts, and the time of earlier runs."""

import itertools
import json
import math
import os
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ablate.config.identity import fingerprint
from ablate.files import PlainMapping
from ablate.messages import aligned, duration, say, say_json
from ablate.records.epochs import TIMES
from ablate.records.record import now
from ablate.records.study_directory import PLAN, StudyDirectory, studies_in
from ablate.runs.job import Job
from ablate.runs.resume import Action
from ablate.stats import smallest_difference
from ablate.sweeps.jobs import AnyJob, inspect

_TASK = ("data", "train", "hardware")  # parts of a configuration that say what is trained on, and how precisely
_NEWEST = 5  # earlier runs whose mean time is what a run is expected to take


@dataclass(frozen=True)
class Cell:
    """One run of a sweep."""

    run: str  # its folder below the sweep's
    state: str  # what there is of it, and what would be done
    done: int  # epochs that would not be trained
    epochs: int | None  # None where only a task's code knows
    cohort: int | None  # the number of the cohort that it would be trained in, from 1; None if alone or not at all
    # That its epochs would take, times its cores, which of a task are not known; None if nothing is known.
    core_seconds: float | None
    basis: str  # the earlier runs that this is taken from, in words


@dataclass(frozen=True)
class Planned:
    """What `ablate plan --json` prints."""

    cells: Sequence[Cell]
    cohorts: int
    core_seconds: float | None  # of all that is to train; None if nothing is known of some of it
    cores: int  # here
    power: str  # the smallest difference that the planned seeds could find, in words


def cells(jobs: Sequence[AnyJob], cohorts: Sequence[Sequence[Job]], earlier: Path) -> list[Cell]:
    """Returns what a sweep's jobs would do; the records of the studies in a folder tell how long epochs take."""
    history = _history(earlier)
    number = {job.folder: place for place, cohort in enumerate(cohorts, start=1) for job in cohort}
    return [_cell(job, number.get(job.folder), history) for job in jobs]


def _cell(job: AnyJob, cohort: int | None, history: "_History") -> Cell:
    directory, epochs = job.directory, job.epochs
    name = f"{directory.folder.parent.name}/{directory.folder.name}"
    earlier = inspect(job)
    action = earlier.action
    state = str(action)
    if action is Action.KEEP and earlier.stale:
        state += f", stale ({'; '.join(earlier.stale)})"
    elif action is Action.START and earlier.record is not None:
        state += f" again ({earlier.why})" if earlier.why else " again"
    if epochs is None and earlier.record is not None:
        epochs = earlier.record.epochs or None
    if action in (Action.KEEP, Action.LEAVE):
        epochs = epochs or 0
        return Cell(name, state, epochs, epochs, None, 0.0, "")
    done = len(directory.read_epochs()) if action is Action.RESUME else 0
    for key in _likenesses(job.config):
        if newest := history.get(key, [])[-_NEWEST:]:
            basis = f"{len(newest)} {'run' if len(newest) == 1 else 'runs'} {key[0]}"
            return Cell(name, state, done, epochs, cohort, _mean(newest, epochs, done), basis)
    basis = f"no earlier run {'on this data' if isinstance(job, Job) else 'of this study'}"
    return Cell(name, state, done, epochs, cohort, None, basis)


_Likeness = tuple[str, ...]  # what runs whose epochs take as long have in common: in words, and as it is
_History = Mapping[_Likeness, list[float]]  # the core seconds of an epoch of earlier runs, the newest last


def _history(folder: Path) -> _History:
    records = [directory.readable_record() for study in studies_in(folder) for directory in study.runs()]
    known = [one for one in records if one and one.imported is None and one.is_complete and one.planned_epochs]
    history = defaultdict(list)
    for record in sorted(known, key=lambda one: one.started):
        # Of how many cores a task makes use is not known: its seconds are the clock's, and those of all its epochs.
        by = (record.provenance.threads or 0) / record.planned_epochs if record.task is None else 1
        for key in _likenesses(record.config):
            history[key].append(sum(record.times[part] for part in TIMES) * by)
    return history


def _mean(seconds: Sequence[float], epochs: int | None, done: int) -> float:
    """Returns what is left of a run: of an epoch's seconds or, where it is not known how many it has, of the run's."""
    return sum(seconds) / len(seconds) * (1 if epochs is None else epochs - done)


def _likenesses(config: PlainMapping) -> list[_Likeness]:
    """Returns what the time of an epoch is told by, the best first."""
    if "settings" in config:
        variant = json.dumps([config["model"]["name"], config["settings"]], sort_keys=True)
        study = str(config["study"]["name"])
        return [("of this variant", study, variant), ("of this study", study)]
    task, model = (
        fingerprint({part: config[part] for part in parts}, lambda meaning: meaning.clock)
        for parts in (_TASK, ("model",))
    )
    base = json.dumps(config["model"].get("base") or {})
    return [("of this variant", task, model), ("of this base", task, base), ("on this data", task)]


def summary(found: Sequence[Cell], cohorts: int, cores: int | None) -> str:
    """Returns a plan as a table for people; without cores one of a task, whose runs are no cohorts."""
    rows = [
        [
            cell.run,
            cell.state,
            f"{cell.done}/{cell.epochs or '?'}",
            *(["–" if cell.cohort is None else cell.cohort] if cores is not None else []),
            _time(cell.core_seconds, cores),
            cell.basis,
        ]
        for cell in found
    ]
    heads = ["cohort", "core time"] if cores is not None else ["time"]
    text = aligned([["run", "state", "epochs", *heads, "taken from"], *rows])
    todo = [cell for cell in found if cell.done != cell.epochs]
    of_cohorts = f", in {cohorts} {'cohort' if cohorts == 1 else 'cohorts'}" if cores is not None else ""
    lines = [
        text,
        "",
        f"{len(found)} runs, {len(todo)} of them to train{of_cohorts}.",
    ]
    known = [cell.core_seconds for cell in todo if cell.core_seconds is not None]
    if known and todo:
        hours = sum(known) / 3600
        lines.append(
            (
                f"About {duration(3600 * hours)}, if they run one after another"
                if cores is None
                else f"About {hours:.2f} core-hours, {60 * hours / cores:.0f} min on the {cores} cores here"
            )
            + (f"; of {len(todo) - len(known)} runs nothing is known." if len(known) < len(todo) else ".")
        )
    elif todo:
        lines.append(
            f"How long they take is not known: there are no earlier runs{' on this data' * (cores is not None)}."
        )
    return "\n".join([*lines, "Nothing was started."])


def _time(seconds: float | None, cores: int | None) -> str:
    if not seconds:
        return "–"
    return duration(seconds) if cores is None else f"{seconds / 60:.1f} min"


def power(jobs: Sequence[AnyJob], study: StudyDirectory) -> str:
    """Returns what the planned seeds could find, by the spread of the study's earlier runs, or in units of it."""
    metric, pairs = jobs[0].metric, len({job.seed for job in jobs})
    values: defaultdict[str, dict[int, float]] = defaultdict(dict)
    for directory in study.runs():
        with suppress(ValueError, KeyError):
            record = directory.read_record()
            if record is not None and record.is_complete:
                variant = fingerprint(record.config, lambda meaning: meaning.tells_apart)
                values[variant][record.seed] = directory.value(record, metric)
    spreads = []
    for one, other in itertools.combinations(values.values(), 2):
        seeds = sorted(one.keys() & other.keys())
        differences = [one[seed] - other[seed] for seed in seeds]
        spreads += [(statistics.variance(differences), len(seeds) - 1)] if len(seeds) > 1 else []
    known = sum(weight for _, weight in spreads)
    deviation = math.sqrt(sum(spread * weight for spread, weight in spreads) / known) if known else 1.0
    once, anytime = (smallest_difference(pairs, deviation, is_anytime=is_anytime) for is_anytime in (False, True))
    if known:
        of, unit = f"the spread of earlier runs (SD of paired differences {deviation:.4g})", f" in {metric}"
    else:
        of, unit = "no earlier runs to go by", " standard deviations of the paired differences"
    if math.isinf(once):
        return f"{pairs} seed finds no difference, however large: take 3 or more."
    also = "" if math.isinf(anytime) else f", and {anytime:.3g} by the test for any number of looks"
    return (
        f"With {pairs} seeds and {of}, the smallest difference that one comparison would find in 80 % of studies is "
        f"{once:.3g}{unit}{also}."
    )


def show(jobs: Sequence[AnyJob], cohorts: Sequence[Sequence[Job]], study: str, as_json: bool = False) -> None:
    """Prints a sweep's plan, and keeps it in the study's folder, for the report to hold against what came of it."""
    folder = Path(study)
    found = cells(jobs, cohorts, folder.absolute().parent)
    todo = [cell for cell in found if cell.done != cell.epochs]
    training = {cell.cohort for cell in todo if cell.cohort is not None}
    cores, found_power = os.cpu_count() or 1, power(jobs, StudyDirectory(folder))
    if as_json:
        seconds = [cell.core_seconds for cell in todo if cell.core_seconds is not None]
        of_all = sum(seconds) if len(seconds) == len(todo) else None
        say_json(Planned(found, len(training), of_all, cores, found_power))
    else:
        say(summary(found, len(training), cores if isinstance(jobs[0], Job) else None), found_power)
    if any(cell.core_seconds is not None for cell in todo):
        made = now()
        StudyDirectory(folder).write(PLAN, made, {"made": made, "cells": [asdict(cell) for cell in todo]})
