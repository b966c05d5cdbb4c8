"""What is measured of a run: names, what they say, units, and how a value is shown."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from ablate.files import PlainMapping
from ablate.messages import nearest
from ablate.records.epochs import field_name, higher_is_better, last_of, split_statistic

_OVER_EPOCHS = {
    "maximum": "highest of all epochs",
    "minimum": "lowest of all epochs",
    "best": "at its best epoch",
    "at_best_validation": "at the epoch that validation images choose",
}
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
    """A number that each run has one of.

    Attributes:
        name: As in claims and tables: `test_accuracy`, `test_accuracy.maximum`, `total_seconds`.
        label: For people, without the unit.
        kind: share (from 0 to 1, shown in percent), loss, seconds, bytes, joules, or number.
        higher_is_better: Whether more of it is wanted; None if that is not known.
        split: train, validation or test, if it is of images.
        quantity: What is measured of them, such as accuracy.
        of_class: The class whose images it is of, if it is of one.
        taken_for: The class that they are taken for, of a confusion.
        statistic: Over the run's epochs, such as final or last5.
        title: What is measured, without the statistic; the label if that is empty.
        own_unit: Of a number, where one was declared.
    """

    name: str
    label: str
    kind: str
    higher_is_better: bool | None = None
    split: str = ""
    quantity: str = ""
    of_class: str = ""
    taken_for: str = ""
    statistic: str = "final"
    title: str = ""
    own_unit: str = ""

    @property
    def column(self) -> str:
        """What its values after each epoch are called, whatever the statistic over epochs."""
        return self.name.partition(".")[0]

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

    @property
    def short(self) -> str:
        """What is measured, without the statistic over epochs."""
        return self.title or self.label.partition(", ")[0]

    @property
    def over_epochs(self) -> str:
        """The statistic over the run's epochs, in words; empty for what is of a whole run or of the variant."""
        whole = self.kind == "seconds" or self.is_exact
        return "" if whole else _said(self.statistic) or "after the last epoch"

    @property
    def unit(self) -> str:
        """The unit that its values are shown in; empty without one."""
        return self.own_unit or _SHOWN[self.kind][2].strip()

    def show(self, value: float | None) -> str:
        """Returns a value with its unit."""
        return "–" if value is None or math.isnan(value) else f"{self.number(value)} {self.unit}".rstrip()

    def number(self, value: float, digits: int | None = None, sign: str = "") -> str:
        """Returns a value in its unit, with so many digits after the point if that is said."""
        factor, usual, _ = _SHOWN[self.kind]
        return minus(f"{factor * value:{sign}z{usual if digits is None else f'.{digits}f'}}")

    def digits(self, spreads: Iterable[float]) -> int | None:
        """Returns the digits after the point that values with these spreads bear; None without a spread.

        They show one digit of the median spread, two if that begins with 1, and of the smallest one at least one.
        """
        scaled = sorted(_SHOWN[self.kind][0] * spread for spread in spreads if spread > 0)
        if not scaled:
            return None
        middle, smallest = scaled[len(scaled) // 2], scaled[0]
        power = math.floor(math.log10(middle))
        digits = max(0, int(middle < 2 * 10.0**power) - power)
        return digits + (round(smallest, digits) == 0)

    def show_difference(self, difference: float) -> str:
        """Returns a difference between two variants; of a time's logarithms, the ratio."""
        if math.isnan(difference):
            return "–"
        if self.kind == "share":
            return f"{_signed(100 * difference, 2)} pp"
        if self.is_cost:
            return f"× {math.exp(difference):.3f}"
        return (
            _signed(difference, 4)
            if self.kind == "loss"
            else f"{minus(f'{difference:+z.4g}')} {self.own_unit}".rstrip()
        )

    def show_interval(self, low: float, high: float) -> str:
        """Returns the bounds of a difference, or of the ratio of times."""
        if math.isnan(low):
            return "–"
        if math.isinf(low):
            return "unbounded"
        if self.kind == "share":
            return f"{_signed(100 * low, 2)} to {_signed(100 * high, 2)} pp"
        if self.is_cost:
            return f"× {math.exp(low):.3f} to {math.exp(high):.3f}"
        return f"{self.show_difference(low).removesuffix(f' {self.own_unit}')} to {self.show_difference(high)}"


def minus(text: str) -> str:
    """Returns a number's text with the sign for minus in place of the hyphen."""
    return text.replace("-", "−")


def _signed(value: float, digits: int) -> str:
    return minus(f"{value:+z.{digits}f}")  # what rounds to 0 is +0.00, never −0.00


def metric(name: str, declared: Mapping[str, PlainMapping] | None = None) -> Metric:
    """Returns what a metric is: what a study declares of it, by name, and else what its name says.

    The label of a metric that ablate does not know is its name, and its statistic over epochs.
    """
    known = _by_name(name)
    said = (declared or {}).get(known.column)
    if said is None:
        return known
    label, unit, better = (said.get(key) for key in ("label", "unit", "better"))
    title = label or known.title or known.column.replace("_", " ")
    return replace(
        known,
        label=", ".join([title, *filter(None, [_said(known.statistic)])]) if label else known.label,
        kind={"": known.kind, "%": "share"}.get(unit or "", "number"),
        higher_is_better=higher_is_better(known.column, declared) if better else known.higher_is_better,
        title=title,
        own_unit=unit if unit and unit != "%" else "",
    )


@cache
def _by_name(name: str) -> Metric:
    """Returns what a name says: the one place where the names of the columns of epochs.csv are read."""
    column, _, statistic = name.partition(".")
    if column in _TIMES:
        return Metric(name, _TIMES[column], "seconds", higher_is_better=False)
    plain = ", ".join([column.replace("_", " "), *filter(None, [_said(statistic)])])
    if column in _COSTS:
        return Metric(name, plain, _COSTS[column], higher_is_better=False, statistic=statistic or "final")
    match = _OF_SPLIT.fullmatch(column)
    if match is None:
        return Metric(name, plain, "number", higher_is_better(column), statistic=statistic or "final")
    split, measured = match.groups()
    parts = _OF_CLASS.fullmatch(measured) or _OF_PAIR.fullmatch(measured)
    quantity, of_class, taken_for = (*parts.groups(), "", "")[:3] if parts else (measured, "", "")
    is_share = parts is not None or measured == "accuracy" or measured.endswith("_accuracy")
    known = is_share or measured == "loss"
    over = _said(statistic) or "after the last epoch"
    title = f"{'training' if split == 'train' else split} {measured.replace('_', ' ')}"
    return Metric(
        name,
        f"{title}, {over}" if known else plain,
        "share" if is_share else "loss" if measured == "loss" else "number",
        higher_is_better=None if taken_for else higher_is_better(parts[1] if parts else measured),
        split=split,
        quantity=quantity,
        of_class=of_class,
        taken_for=taken_for,
        statistic=statistic or "final",
        title=title if known else "",
    )


def _said(statistic: str) -> str | None:
    """Returns a statistic over epochs in words; None of the value after the last one."""
    number = last_of(statistic)
    return _OVER_EPOCHS.get(statistic) if number is None else f"mean of the last {number} epochs"


def check_metric(name: str, known: Iterable[str], where: str) -> str:
    """Returns a metric's name, in which `.final` may be left out, and a sign such as `/` may stand for `_`.

    Args:
        name: As a user wrote it.
        known: The metrics that there are.
        where: What names it, for the message.

    Raises:
        ValueError: There is no such metric; the message names the nearest.
    """
    known = list(known)
    of, statistic = split_statistic(name)
    suffix = "" if statistic == "final" else f".{statistic}"
    plain = next((each for each in (name, f"{of}{suffix}", f"{field_name(of)}{suffix}") if each in known), None)
    if plain is None:
        raise ValueError(f"{where}: there is no metric {name!r} in the runs; {nearest(name, known)}")
    return plain
