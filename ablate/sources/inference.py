"""What runs of others say of themselves: which field is the variant, which the seed, and what was measured.

What is inferred is said; what cannot be inferred with certainty is refused, with what was found and how to say it.
"""

import itertools
import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from ablate.messages import nearest
from ablate.records.epochs import field_name, higher_is_better, metric_rank, split_of
from ablate.sources.logged_run import UNPAIRED, LoggedRun, Wanted, is_seed

JOB = "hydra.job.name"  # a field of every job of Hydra
DATA_SET = re.compile(r"(?i)(?:.*[._])?(?:data|dataset|datasets|datamodule)(?:[._]?name)?")
_BASELINES = ("plain", "baseline", "base", "vanilla", "default", "control", "none", "original")
_PLANNED = ("max_epochs", "epochs", "num_epochs", "n_epochs", "num_train_epochs", "max_steps")
_EARLY = re.compile(r"(?i)early_?stop")
_NUMBER = re.compile(r"(?i)[-+\d.,e:]*|nan")


class Inferred(NamedTuple):
    """Runs, all that is wanted of them, and what to say of it: rows of a word and what it is about."""

    runs: list[LoggedRun]
    wanted: Wanted
    said: list[tuple[str, str]]


def infer(runs: Sequence[LoggedRun], wanted: Wanted) -> Inferred:
    """Returns all that is wanted of runs; what was said is taken as it was said."""
    found = [run for run in runs if all(_text(run, name) == value for name, value in wanted.only.items())]
    if not found:
        told = "; ".join(f"{name}: {_listed(_values(runs, name))}" for name in wanted.only)
        raise ValueError(f"--only: no run is left of {len(runs)}; there are {told}")
    ended = _ended(found, wanted)
    complete = _complete(ended)
    seed = wanted.seed or _seed(complete)
    chosen = [name for name in _varying(complete, _chosen(complete)) if not _are_same(complete, name, seed)]
    if seed == UNPAIRED:
        chosen = [name for name in chosen if not is_seed(name)]
    variant = wanted.variant or _variant(complete, chosen, seed)
    if wanted.variant is None:
        chosen += _by_accident(complete, [variant, *chosen])
    settings = wanted.settings if wanted.settings is not None else [name for name in chosen if name != variant]
    if wanted.settings is None:
        _refuse_data_sets(complete, [name for name in chosen if name not in (wanted.variant, wanted.seed)])
    needed = [name for name in (variant, seed) if any(name in run.fields for run in ended)]
    odd = [run for run in ended if any(run.fields.get(name) in (None, "") for name in needed)]
    kept = [run for run in ended if run not in odd]
    metrics, notes = _metrics(_complete(kept), wanted)
    kept = [_renamed(run, metrics.values()) for run in kept]
    names = _values(_complete(kept), variant)
    baseline = wanted.baseline or likely_baseline(names)
    full = replace(wanted, variant=variant, seed=seed, settings=settings, metrics=metrics, baseline=baseline)
    said = [*_said(_complete(kept), full), *notes]
    said += [("left out", f"{run.name}: {run.status}: {run.why}") for run in kept if run.status != "complete"]
    said += [("left out", f"{run.name}: says no {' or '.join(needed)}{f': {run.why}' * bool(run.why)}") for run in odd]
    return Inferred(kept, full, said)


def likely_baseline(names: Sequence[str]) -> str:
    """Returns the variant that is called as a baseline is, or else the first; empty where there is none."""
    return next((name for name in _BASELINES if name in names), names[0] if names else "")


def command(path: str, wanted: Wanted) -> str:
    """Returns the command that says all that was inferred."""
    told = [("--variant", wanted.variant), ("--seed", wanted.seed), ("--baseline", wanted.baseline)]
    told += [("--setting", name) for name in wanted.settings or ()]
    of_metrics = wanted.metrics.items()
    told += [("--metric", theirs if field_name(theirs) == name else f"{name}={theirs}") for name, theirs in of_metrics]
    told += [("--only", f"{name}={value}") for name, value in wanted.only.items()]
    told += [(option, value) for option, value in (("--epoch", wanted.epoch), ("--shorter", wanted.shorter)) if value]
    return shlex.join(["ablate", "report", path, *(str(part) for pair in told for part in pair)]) + (
        " --resumed" * wanted.resumed
    )


def _text(run: LoggedRun, name: str) -> str:
    return str(run.fields.get(name, ""))


def _values(runs: Iterable[LoggedRun], name: str) -> list[str]:
    return list(dict.fromkeys(_text(run, name) for run in runs))


def _listed(texts: Iterable[str], most: int = 6) -> str:
    texts = list(texts)
    return ", ".join(texts[:most]) + (f" and {len(texts) - most} more" if len(texts) > most else "")


def _chosen(runs: Iterable[LoggedRun]) -> list[str]:
    every = dict.fromkeys(name for run in runs for name in run.chosen)
    return [name for name in every if not name.startswith(("hydra.", "hydra/"))]


def _fields(runs: Iterable[LoggedRun]) -> list[str]:
    return list(dict.fromkeys(name for run in runs for name in run.fields if name))


def _varying(runs: Sequence[LoggedRun], names: Iterable[str]) -> list[str]:
    return [name for name in names if len(_values(runs, name)) > 1]


def _are_same(runs: Sequence[LoggedRun], name: str, other: str) -> bool:
    return [_text(run, name) for run in runs] == [_text(run, other) for run in runs]


def _complete(runs: Sequence[LoggedRun]) -> list[LoggedRun]:
    complete = [run for run in runs if run.status == "complete"]
    if not complete:
        raise ValueError("no run is complete: " + "; ".join(f"{run.name}: {run.why or run.status}" for run in runs[:5]))
    return complete


def _ended(runs: Sequence[LoggedRun], wanted: Wanted) -> list[LoggedRun]:
    """Returns runs with statuses: where no tool says it, one of fewer epochs than others like it has not ended."""
    unknown = [run for run in runs if not run.status]
    counts = {run.name: Counter(name for row in run.history for name in row) for run in unknown}
    often = Counter(name for count in counts.values() for name in count if higher_is_better(name) is not None)
    repeated = [name for name in often if 2 * often[name] > len(unknown) and max(c[name] for c in counts.values()) > 1]
    clock = min(repeated, key=lambda name: ((2, 0, 1, 3)[split_of(name)], name), default="")  # what ends an epoch
    longest: defaultdict[str, int] = defaultdict(int)
    planned = {run.name: next((_text(run, key) for key in run.fields if _last(key) in _PLANNED), "") for run in unknown}
    for run in unknown:
        longest[planned[run.name]] = max(longest[planned[run.name]], counts[run.name][clock])
    return [
        run if run.status else _judged(run, counts[run.name][clock], longest[planned[run.name]], wanted.shorter)
        for run in runs
    ]


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _judged(run: LoggedRun, length: int, longest: int, shorter: str | None) -> LoggedRun:
    stops_early = any(_EARLY.search(f"{name}={value}") for name, value in run.fields.items() if value is not None)
    if run.why and shorter != "count" and (length < longest or stops_early):
        return replace(run, status="failed")
    if length == longest or shorter == "count" or (stops_early and shorter is None):
        return replace(run, status="complete", why="")
    if shorter is None and JOB not in run.fields:
        raise ValueError(
            f"{run.name}: has {length} epochs, and others have {longest}: --shorter count takes such runs as stopped "
            "early on purpose, --shorter leave-out as not finished"
        )
    return replace(run, status="interrupted", why=f"{length} of {longest} epochs")


def _seed(runs: Sequence[LoggedRun]) -> str:
    """Returns the field with the seed: the only one called so in which runs differ, or else the one that they share."""
    names = list(filter(is_seed, _fields(runs)))
    given = [name for name in names if any(run.fields.get(name) not in (None, "") for run in runs)]
    given.sort(key=lambda name: (name.count("."), len(name)))
    different: list[str] = []
    for name in _varying(runs, given):
        different += [] if any(_are_same(runs, name, other) for other in different) else [name]
    if len(different) > 1:
        told = "; ".join(f"{name} ({_listed(_values(runs, name))})" for name in different)
        raise ValueError(
            f"{len(different)} keys look like seeds, {told}: say which pairs the runs, such as --seed {different[0]}"
        )
    if not given:
        empty = f" ({', '.join(names)} is empty in all)" if names else ""
        others = _varying(runs, _chosen(runs) or _fields(runs))
        raise ValueError(
            f"--seed: none of {len(runs)} runs says its seed{empty}; name what pairs the runs ({nearest('', others)}), "
            f"or say --seed {UNPAIRED}: runs of a variant are then repetitions, and nothing is paired"
        )
    return (different or given)[0]


def _variant(runs: Sequence[LoggedRun], chosen: Sequence[str], seed: str) -> str:
    """Returns the field with the variant: what was chosen otherwise for some runs, first the options of groups."""
    if any("variant" in run.fields for run in runs):
        return "variant"
    options = [name for name in chosen if "." not in name]
    if options or (chosen and JOB not in runs[0].fields):
        return [*options, *chosen][0]
    if JOB in runs[0].fields:
        return "model" if "model" in _chosen(runs) else JOB
    others = [name for name in _fields(runs) if name != seed]
    texts = [name for name in _varying(runs, others) if not all(map(_NUMBER.fullmatch, _values(runs, name)))]
    if len(texts) != 1:
        raise ValueError(f"--variant: say which field is the variant; {nearest('', texts or others)}")
    return texts[0]


def _by_accident(runs: Sequence[LoggedRun], names: Sequence[str]) -> list[str]:
    """Returns the settings that nobody chose and in which jobs of one variant differ, as after a change of defaults."""
    cells: defaultdict[tuple[str, ...], list[LoggedRun]] = defaultdict(list)
    for run in runs:
        if JOB in run.fields:
            cells[tuple(_text(run, name) for name in names)].append(run)
    others = [name for name in _fields(runs) if not is_seed(name) and name not in _chosen(runs)]
    return list(dict.fromkeys(name for same in cells.values() for name in _varying(same, others)))


def _refuse_data_sets(runs: Sequence[LoggedRun], chosen: Iterable[str]) -> None:
    for name in filter(DATA_SET.fullmatch, chosen):
        often = Counter(_text(run, name) for run in runs)
        told = _listed(f"{name}={value} ({number})" for value, number in often.items())
        raise ValueError(
            f"runs are of several data sets, {told}, over which nothing is averaged: take one with --only "
            f"{name}={next(iter(often))}; or name the variant, and compare within each data set with --setting {name}"
        )


def _metrics(runs: Sequence[LoggedRun], wanted: Wanted) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Returns the metrics to take, and what to say of the others."""
    if wanted.metrics:
        return dict(wanted.metrics), []
    by: defaultdict[str, set[str]] = defaultdict(set)
    for run in runs:
        for name in {name for row in run.history for name in row}:
            by[name].add(run.name)
    known = sorted((name for name in by if higher_is_better(name) is not None or len(by) == 1), key=metric_rank)
    main = next((name for name in known if len(by[name]) == len(runs)), None)
    better = known[: known.index(main)] if main else known
    for name, other in itertools.product(better, known):
        is_alike = not by[name] & by[other] and metric_rank(name)[:2] == metric_rank(other)[:2]
        if is_alike and len(by[name] | by[other]) == len(runs):
            one, two = (_listed(sorted(by[each]), 3) for each in (name, other))
            raise ValueError(
                f"{name} was logged by {one}, and {other} by {two}: if they are the same, say --metric "
                f"{field_name(name)}={name},{other}; if not, say which to compare"
            )
    if main is None:
        told = f"; none is in all {len(runs)} runs" if known else ""
        raise ValueError(f"--metric: say which to compare{told}; {nearest('', known or sorted(by))}")
    metrics: dict[str, str] = {}
    for name in [main, *known]:
        is_share = all(row.get(name, 0) <= 1 for run in runs for row in run.history)  # as an accuracy has to be
        metrics.setdefault(field_name(name) if is_share else re.sub("accuracy$", "acc", field_name(name)), name)
    unused = sorted({*by} - {*metrics.values()})
    partial = [name for name in known if len(by[name]) < len(runs)]
    notes = [("note", f"{len(by[name])} of {len(runs)} runs have {name}") for name in partial]
    return metrics, [*notes, *([("not taken", _listed(unused))] * bool(unused))]


def _renamed(run: LoggedRun, metrics: Iterable[str]) -> LoggedRun:
    """Returns a run in whose history a metric that goes by several names, such as `val/acc,val_accuracy`, has one."""
    one = {part: name for name in metrics if "," in name for part in name.split(",")}
    return replace(run, history=[{one.get(name, name): row[name] for name in row} for row in run.history])


def _said(runs: Sequence[LoggedRun], wanted: Wanted) -> Iterator[tuple[str, str]]:
    often = Counter(_text(run, wanted.variant or "") for run in runs)
    yield "variant", f"{wanted.variant}: " + _listed(f"{name} ({number})" for name, number in often.items())
    for name in wanted.settings or ():
        yield "setting", f"{name}: {_listed(_values(runs, name))}"
    is_paired = wanted.seed != UNPAIRED
    yield "seed", f"{wanted.seed}{f': {_listed(_values(runs, wanted.seed or str()))}' * is_paired}"
    for name, theirs in wanted.metrics.items():
        better = {True: "higher is better", False: "lower is better", None: "its name does not say which way is better"}
        yield "metric", f"{name}{f' = {theirs}' * (name != theirs)} ({better[higher_is_better(name)]})"
    yield "baseline", wanted.baseline or ""
