"""A run as another tool logged it, and what of it is wanted."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ablate.files import PlainMapping
from ablate.records.epochs import field_name
from ablate.records.record import Provenance

UNPAIRED = "none"  # in place of the name of the field with the seed
EPOCHS = ("epoch", "epochs", "step", "steps", "global_step", "iteration", "iter")  # the first that there is counts


@dataclass(frozen=True)
class LoggedRun:
    """A run of another tool."""

    name: str  # what the tool calls it, and no other run
    status: str  # as in run.json: complete, running, failed or interrupted; empty where the tool does not say
    started: str  # in ISO 8601
    fields: PlainMapping  # what is known of it beside its metrics, by name: settings, tags, columns
    history: Sequence[Mapping[str, float]]  # what was logged at each step, by metric, in the order of the steps
    chosen: Sequence[str] = ()  # the fields that somebody chose for it: overrides, parts of its path
    why: str = ""  # how it ended, if not well
    came_from: Provenance | None = None  # its code, packages and machine, where that was recorded


@dataclass(frozen=True)
class Wanted:
    """What to take of runs: the names of fields, and of metrics; what is None or empty is still to be inferred."""

    variant: str | None = None  # the field with the variant's name
    seed: str | None = None  # the field with the seed, or with whatever else pairs runs; `none`: they are not paired
    metrics: Mapping[str, str] = field(default_factory=dict)  # theirs by the name that it gets; the study's own first
    settings: Sequence[str] | None = None  # fields that tell variants of one name apart
    baseline: str | None = None  # the variant that others are compared with
    only: Mapping[str, str] = field(default_factory=dict)  # what fields must say for a run to be taken
    epoch: str | None = None  # the column with the epoch
    resumed: bool = False  # whether rows after an epoch that goes back replace those from that epoch on
    shorter: str | None = None  # what runs of fewer epochs than others are: count (complete) or leave-out


def add_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options that say what is wanted."""
    parser.add_argument("--variant", help="field or column with the variant")
    parser.add_argument("--seed", help="the one with the seed, which pairs runs; none: they are not paired")
    parser.add_argument(
        "--metric", action="append", default=[], metavar="[NAME=]THEIRS",
        help="what to compare, and what to call it; may be given several times, the study's own first",
    )  # fmt: skip
    parser.add_argument("--setting", action="append", help="one that tells variants of one name apart; several times")
    parser.add_argument("--baseline", help="the variant that the others are compared with")
    parser.add_argument("--only", action="append", default=[], metavar="FIELD=VALUE", help="take these runs alone")
    parser.add_argument("--epoch", help="column with the epoch, of a table with a row an epoch")
    parser.add_argument("--resumed", action="store_true", help="where epochs go back, later rows replace earlier ones")
    parser.add_argument("--shorter", choices=("count", "leave-out"), help="what to do with runs of fewer epochs")


def wanted(options: argparse.Namespace) -> Wanted:
    """Returns what the options of `add_options` say."""
    only = dict(text.partition("=")[::2] for text in options.only)
    if not all(only.values()):
        raise ValueError(f"--only {' '.join(options.only)}: say FIELD=VALUE")
    return Wanted(
        options.variant, options.seed, metric_names(options.metric), options.setting, options.baseline, only,
        options.epoch, options.resumed, options.shorter,
    )  # fmt: skip


def metric_names(texts: Sequence[str]) -> dict[str, str]:
    """Returns what the tool calls each metric, by the name that it gets here."""
    metrics: dict[str, str] = {}
    for text in texts:
        name, _, theirs = text.partition("=")
        if not theirs:
            name, theirs = field_name(text), text
        if metrics.setdefault(name, theirs) != theirs:
            raise ValueError(f"--metric: {metrics[name]} and {theirs} would both be called {name}; say NAME={theirs}")
    return metrics


def is_seed(name: str) -> bool:
    """Whether a field is called like a seed: `seed`, `trainer.seed`, `random_seed`."""
    return name.lower().endswith("seed")


class Step(NamedTuple):
    """What was logged at once: the epoch, where it is known, the values by metric, and where that stands."""

    epoch: float | None
    values: dict[str, float]
    where: str


class EpochsGoBack(ValueError):
    """What looks like one run is several, or one that was resumed."""


def epoch_column(names: Iterable[str]) -> str | None:
    """Returns the column that counts epochs or, where there is none, steps."""
    lower = {name.lower(): name for name in names}
    return next((lower[name] for name in EPOCHS if name in lower), None)


def by_epoch(steps: Iterable[Step], resumed: bool = False) -> list[Step]:
    """Returns the last value of each metric in each epoch; steps without an epoch are epochs of their own.

    What stands after a later epoch, but was never logged there, as the test of a trained model is, counts for that one.
    """
    epochs: list[Step] = []
    last: dict[str, float] = {}
    for at, values, where in steps:
        before = max((last[name] for name in values if name in last), default=None)
        if at is not None and before is not None and at < before:
            if not resumed:
                raise EpochsGoBack(
                    f"{where}: the epoch or step goes back from {before:g} to {at:g}: these are several runs, or one "
                    "that was resumed; with --resumed, what comes later replaces what was logged from there on"
                )
            epochs = [step for step in epochs if step.epoch is None or step.epoch < at]
            last = {name: step.epoch for step in epochs if step.epoch is not None for name in step.values}
        newest = epochs[-1].epoch if epochs else None
        if at is None or newest is None or at > newest:
            epochs.append(Step(at, {}, where))
        epochs[-1].values.update(values)
        if at is not None:
            last.update(dict.fromkeys(values, at))
    return epochs
