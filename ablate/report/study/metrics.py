"""What is measured of a run: names, what they say, units, and how a value is shown."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from ablate.messages import nearest
from ablate.records.epochs import field_name

# Over a run's epochs. A metric's plain name is its value after the last one.
STATISTICS = ("final", "maximum", "minimum")
_OVER_EPOCHS = {"maximum": "highest of all epochs", "minimum": "lowest of all epochs"}
# Columns of epochs.csv that are of the images of a split: `test_loss`, `test_accuracy_of_cat`,
# `test_confusion_cat_as_dog`, `validation_top5_accuracy`, `test_f1`.
_OF_SPLIT = re.compile(r"(train|validation|test)_(\w+)")
_OF_CLASS = re.compile(r"(accuracy)_of_(\w+)")
_OF_PAIR = re.compile(r"(confusion)_(\w+)_as_(\w+)")
_COSTS = {"peak_memory": "bytes", "energy": "joules"}
_TIMES = {
    "train_seconds": "training time",
    "eval_seconds": "evaluation time",
    "data_seconds": "time for data",
    "total_seconds": "total time",
}


# How values of a kind are shown: by what they are multiplied, their digits, and their unit.
_SHOWN = {
    "share": (100, ".2f", " %"),
    "loss": (1, ".4f", ""),
    "seconds": (1, ".2f", " s"),
    "bytes": (2**-20, ".1f", " MiB"),
    "joules": (1, ".1f", " J"),
    "number": (1, ".6g", ""),
}


@dataclass(frozen=True)
class Metric:
    """A number that each run has one of."""

    name: str  # as in claims and tables: test_accuracy, test_accuracy.maximum, total_seconds
    label: str  # for people, without the unit
    kind: str  # one of those in `_SHOWN`; a share is from 0 to 1
    higher_is_better: bool | None = None  # None where that is not known
    split: str = ""  # train, validation or test, if it is of images
    quantity: str = ""  # what is measured of them, such as accuracy
    of_class: str = ""  # the class whose images it is of, if it is of one
    taken_for: str = ""  # the class that they are taken for, of a confusion
    statistic: str = "final"  # over the run's epochs: final, maximum or minimum

    @property
    def is_of_test(self) -> bool:
        """Whether it is of the test images, after the last epoch."""
        return self.split == "test" and self.statistic == "final"

    @property
    def is_cost(self) -> bool:
        """Whether it is of the machine too: variants are compared by ratios, that is on logarithms, on one machine."""
        return self.kind in ("seconds", *_COSTS.values())

    @property
    def is_exact(self) -> bool:
        """Whether no run is needed to know it: it is the variant's, the same for all seeds."""
        return self.name in ("parameters", "flops")

    def show(self, value: float | None) -> str:
        """Returns a value with its unit."""
        if value is None or math.isnan(value):
            return "–"
        factor, digits, unit = _SHOWN[self.kind]
        return minus(f"{factor * value:z{digits}}{unit}")

    def show_difference(self, difference: float) -> str:
        """Returns a difference between two variants; of a time's logarithms, the ratio."""
        return self._show_differences(difference)

    def show_interval(self, low: float, high: float) -> str:
        """Returns the bounds of a difference, or of the ratio of times."""
        return self._show_differences(low, high)

    def _show_differences(self, *differences: float) -> str:
        if math.isnan(differences[0]):
            return "–"
        if self.is_cost:
            return "× " + " to ".join(f"{math.exp(difference):.3f}" for difference in differences)
        factor, digits, _ = _SHOWN[self.kind]
        digits = ".4g" if self.kind == "number" else digits
        # With z, what rounds to 0 is +0.00, never −0.00.
        shown = " to ".join(minus(f"{factor * difference:+z{digits}}") for difference in differences)
        return f"{shown} pp" if self.kind == "share" else shown


def minus(text: str) -> str:
    """Returns a number's text with the sign for minus in place of the hyphen."""
    return text.replace("-", "−")


@cache
def metric(name: str) -> Metric:
    """Returns what a name says: the one place where the names of the columns of epochs.csv are read.

    The name of a metric that ablate does not know is its label.
    """
    column, _, statistic = name.partition(".")
    if column in _TIMES:
        return Metric(name, _TIMES[column], "seconds", higher_is_better=False)
    if column in _COSTS:
        label = ", ".join([column.replace("_", " "), *filter(None, [_OVER_EPOCHS.get(statistic)])])
        return Metric(name, label, _COSTS[column], higher_is_better=False, statistic=statistic or "final")
    match = _OF_SPLIT.fullmatch(column)
    if match is None:
        return Metric(name, name.replace("_", " "), "number")
    split, measured = match.groups()
    parts = _OF_CLASS.fullmatch(measured) or _OF_PAIR.fullmatch(measured)
    quantity, of_class, taken_for = (*parts.groups(), "", "")[:3] if parts else (measured, "", "")
    is_share = parts is not None or measured == "accuracy" or measured.endswith("_accuracy")
    known = is_share or measured == "loss"
    over = _OVER_EPOCHS.get(statistic, "after the last epoch")
    label = f"{'training' if split == 'train' else split} {measured.replace('_', ' ')}, {over}"
    return Metric(
        name,
        label if known else name.replace("_", " "),
        "share" if is_share else "loss" if measured == "loss" else "number",
        higher_is_better=None if taken_for or not known else is_share,
        split=split,
        quantity=quantity,
        of_class=of_class,
        taken_for=taken_for,
        statistic=statistic or "final",
    )


def check_metric(name: str, known: Iterable[str], where: str) -> str:
    """Returns a metric's name, in which `.final` may be left out, and a sign such as `/` may stand for `_`.

    Args:
        name: As a user wrote it.
        known: The metrics that there are.
        where: What names it, for the message.

    Raises:
        ValueError: There is no such metric; the message names the nearest.
    """
    plain, known = name.removesuffix(".final"), list(known)
    if plain not in known:
        column, dot, statistic = plain.rpartition(".")
        if statistic not in STATISTICS:
            column, dot, statistic = plain, "", ""
        plain = f"{field_name(column)}{dot}{statistic}"
    if plain not in known:
        raise ValueError(f"{where}: there is no metric {name!r} in the runs; {nearest(name, known)}")
    return plain
