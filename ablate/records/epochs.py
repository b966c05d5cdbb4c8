"""The rows of epochs.csv, and the results of a run that are computed from them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ablate.files import PlainMapping

EPOCHS_FILE = "epochs.csv"
Epoch = dict[str, float]  # a row of epochs.csv, by column

# The parts of a run's time, in seconds: columns of epochs.csv and, summed, `times` of run.json.
TIMES = ("train_seconds", "eval_seconds", "data_seconds")

# What else an epoch takes, where it was asked for: bytes at the most, and joules.
COSTS = ("peak_memory", "energy")

# Columns of epochs.csv that are not results.
_NOT_RESULTS = ("epoch", "lr", "images_per_second", *TIMES)

# Names that no metric may have: columns of ours, in epochs.csv and in the tables of a report.
RESERVED = (
    *_NOT_RESULTS, "total_seconds", "study", "run", "variant", "seed", "clock", "parameters", "flops",
)  # fmt: skip


def field_name(text: str) -> str:
    """Returns a metric's name of elsewhere, such as `val/acc`, as one of letters, digits and underscores."""
    return re.sub(r"\W+", "_", text)


# Over a run's epochs, beside `lastN`. A metric's plain name is its value after the last one.
STATISTICS = ("final", "maximum", "minimum", "best", "at_best_validation")
_LAST = re.compile(r"last([1-9]\d*)")
_CHOOSER = "validation_accuracy"


def last_of(statistic: str) -> int | None:
    """Returns N of the statistic `lastN`, the mean of the last N epochs; None of any other."""
    match = _LAST.fullmatch(statistic)
    return None if match is None else int(match[1])


def split_statistic(metric: str) -> tuple[str, str]:
    """Returns what a metric is of, and its statistic over epochs; `test_accuracy` is `test_accuracy.final`."""
    name, _, statistic = metric.rpartition(".")
    return (name, statistic) if name and (statistic in STATISTICS or last_of(statistic)) else (metric, "final")


# Words in the names of metrics that say whether more or less of one is wanted.
_HIGHER = re.compile(
    "acc|accuracy|precision|recall|sensitivity|specificity|f1|fbeta|auc|auroc|auprc|ap|map|m?iou|dice|jaccard|kappa|mcc|r2|"
    "psnr|ssim|bleu|rouge[12l]?|rougelsum|meteor|ndcg|mrr|top[15]|reward|return|em"
)
_LOWER = re.compile(
    "loss|error|err|nll|b?ce|r?mse|s?mape|mae|perplexity|ppl|wer|cer|ter|fid|kid|lpips|bpc|bpb|brier|ece|regret|memory|"
    "energy"
)


def words(name: str) -> list[str]:
    """Returns the words in a metric's name, in lower case: val and acc of `val/acc`, `val_acc` and `valAcc`."""
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+\d*|[A-Z]+\d*(?![a-z])|\d+", name)]


def higher_is_better(name: str, declared: PlainMapping | None = None) -> bool | None:
    """Returns whether more of a metric is wanted, as is declared or else its name says; None where neither does.

    Args:
        name: The metric's, without a statistic.
        declared: What a study's `metrics` say, by metric; each with `better`: higher, lower or None.
    """
    if (said := (declared or {}).get(name, {}).get("better")) is not None:
        return bool(said == "higher")
    high, low = (any(map(said.fullmatch, words(name))) for said in (_HIGHER, _LOWER))
    return None if high == low or "scale" in words(name) else high


# Words in the names of metrics that say of which images they are, the best evidence first.
_SPLITS = ({"test"}, {"val", "valid", "validation", "eval", "dev"}, {""}, {"train", "training"})


def split_of(name: str) -> int:
    """Returns of which images a metric is: 0 test, 1 validation, 3 training, 2 where its name does not say."""
    return next((number for number, names in enumerate(_SPLITS) if names & {*words(name)}), 2)


def metric_rank(name: str) -> tuple[int, bool, bool, str]:
    """Returns a key by which the metric comes first that a study is about, if nobody says which."""
    return split_of(name), not higher_is_better(name), "best" in words(name), name


def measured(values: Mapping[str, float], what: str) -> dict[str, float]:
    """Returns metrics by the names that tables have for them; ValueError, which begins with `what`, where none can."""
    named = {str(name): field_name(str(name)) for name in values}
    for given, name in named.items():
        if name in RESERVED:
            raise ValueError(f"{what} {given}, which is a column of ablate's own; call it something else")
        if list(named.values()).count(name) > 1:
            raise ValueError(f"{what} {given} and another metric that would be called {name} too; rename one")
    return {named[str(name)]: float(value) for name, value in values.items()}


def over_epochs(metric: str, columns: Mapping[str, Sequence[float]], declared: PlainMapping | None = None) -> float:
    """Returns a metric of a run by its statistic over the epochs; NaN where it has too few, or no validation images.

    `test_accuracy.last5` is the mean of the last five epochs, `test_accuracy.best` the best (NaN where neither its name
    nor `declared` says which way is better), and `test_accuracy.at_best_validation` that after the first epoch with the
    highest accuracy on validation images.
    """
    name, statistic = split_statistic(metric)
    values = columns[name]
    if (number := last_of(statistic)) is not None:
        return math.fsum(values[-number:]) / number if number <= len(values) else math.nan
    if statistic == "at_best_validation":
        chooser = [-math.inf if math.isnan(value) else value for value in columns.get(_CHOOSER, ())]
        return values[chooser.index(max(chooser))] if chooser else math.nan
    if statistic == "best":
        statistic = {True: "maximum", False: "minimum", None: ""}[higher_is_better(name, declared)]
    known = [value for value in values if not math.isnan(value)] or [math.nan]
    return {"final": values[-1], "maximum": max(known), "minimum": min(known)}.get(statistic, math.nan)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A metric over a run's epochs: its value after the last, and its extremes over all, with their epochs."""

    final: float
    maximum: float
    maximum_epoch: int
    minimum: float
    minimum_epoch: int


def summarise(rows: Sequence[Epoch]) -> dict[str, Result]:
    """Returns the results of a run's epochs by metric; energy is that of the whole run."""
    results = {}
    for name in rows[-1]:
        if name not in _NOT_RESULTS:
            known = [row for row in rows if not math.isnan(row.get(name, math.nan))] or [rows[-1]]
            highest = max(known, key=lambda row: row[name])
            lowest = min(known, key=lambda row: row[name])
            results[name] = Result(
                final=sum(row[name] for row in known) if name == "energy" else rows[-1][name],
                maximum=highest[name],
                maximum_epoch=int(highest["epoch"]),
                minimum=lowest[name],
                minimum_epoch=int(lowest["epoch"]),
            )
    return results


def total_times(rows: Sequence[Epoch]) -> dict[str, float]:
    """Returns the seconds that all epochs took, by part, and together as `total_seconds`."""
    times = {name: sum(row[name] for row in rows) for name in TIMES}
    return {**times, "total_seconds": sum(times.values())}
