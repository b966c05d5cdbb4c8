"""A run as another tool logged it, and what of it is wanted."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.files import PlainMapping
from ablate.records.epochs import field_name


@dataclass(frozen=True)
class LoggedRun:
    """A run of another tool."""

    name: str  # what the tool calls it, and no other run
    status: str  # as in run.json: complete, running, failed or interrupted
    started: str  # in ISO 8601
    fields: PlainMapping  # what is known of it beside its metrics, by name: settings, tags, columns
    history: Sequence[Mapping[str, float]]  # what was logged at each step, by metric, in the order of the steps


@dataclass(frozen=True)
class Wanted:
    """What to take of runs: the names of fields, and of metrics."""

    variant: str  # the field with the variant's name
    seed: str  # the field with the seed, or with whatever else pairs runs: a fold, a data set
    metrics: Mapping[str, str]  # what the tool calls each metric, by the name that it gets; the study's own first
    settings: Sequence[str] = ()  # fields that tell variants of one name apart
    baseline: str | None = None  # the variant that others are compared with


def add_options(parser: argparse._ActionsContainer) -> None:
    """Adds the options that say what is wanted."""
    parser.add_argument("--variant", default="variant", help="field or column with the variant (default: variant)")
    parser.add_argument("--seed", default="seed", help="the one with the seed, which pairs runs (default: seed)")
    parser.add_argument(
        "--metric", action="append", default=[], metavar="[NAME=]THEIRS",
        help="what to compare, and what to call it; may be given several times, the study's own first",
    )  # fmt: skip
    parser.add_argument(
        "--setting", action="append", default=[], help="one that tells variants of one name apart; several times"
    )
    parser.add_argument("--baseline", help="the variant that others are compared with (default: plain)")


def wanted(options: argparse.Namespace) -> Wanted:
    """Returns what the options of `add_options` say.

    Raises:
        ValueError: Two metrics would get one name.
    """
    return Wanted(options.variant, options.seed, metric_names(options.metric), options.setting, options.baseline)


def metric_names(texts: Sequence[str]) -> dict[str, str]:
    """Returns what the tool calls each metric, by the name that it gets here.

    Args:
        texts: `name=theirs`, or `theirs` alone, whose signs such as / become underscores.

    Raises:
        ValueError: Two metrics would get one name.
    """
    metrics: dict[str, str] = {}
    for text in texts:
        name, _, theirs = text.partition("=")
        if not theirs:
            name, theirs = field_name(text), text
        if metrics.setdefault(name, theirs) != theirs:
            raise ValueError(f"--metric: {metrics[name]} and {theirs} would both be called {name}; say NAME={theirs}")
    return metrics
