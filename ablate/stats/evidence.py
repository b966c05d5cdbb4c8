"""What differences say by the test that decides: one shape for comparisons, effects and contributions."""

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from ablate.stats.anytime import anytime, anytime_equivalence
from ablate.stats.paired import Interval, equivalence_test, mean_interval, paired_differences, t_test
from ablate.stats.pairing import welch, welch_equivalence


class Test(StrEnum):
    """How often the differences could be looked at: once, as planned, or any number of times."""

    __test__ = False  # pytest takes what is called so for tests

    FIXED = "fixed"
    ANYTIME = "anytime"


@dataclass(frozen=True)
class Evidence:
    """What differences say.

    Attributes:
        pairs: How many there are.
        mean: Their mean.
        interval: Its 95 % interval: for one look, or at any number of looks at once.
        p: The two-sided p-value against a mean of 0.
        p_inside: With a margin, the p-value that speaks for a mean inside it; else NaN.
        p_outside: With a margin, the two-sided p-value that speaks for a mean outside it; else NaN.
    """

    pairs: int
    mean: float
    interval: Interval
    p: float
    p_inside: float = np.nan
    p_outside: float = np.nan

    def reversed(self) -> "Evidence":
        """Returns what the differences say with their signs turned."""
        return replace(self, mean=-self.mean, interval=Interval(-self.interval.high, -self.interval.low))


def weigh(
    differences: ArrayLike, test: Test = Test.FIXED, margin: float | None = None, resolution: float = 0.0
) -> Evidence:
    """Weighs paired differences.

    Args:
        differences: Shape (n,), in the order of the seeds.
        test: Which test decides.
        margin: Above 0, in the unit of the differences.
        resolution: The step in which the metric's values come; for the anytime-valid test.

    Example:
        >>> differences = [2.1, 1.8, 2.5, 2.2]
        >>> round(weigh(differences).p, 4), round(weigh(differences, Test.ANYTIME).p, 3)
        (0.0007, 0.021)
        >>> round(weigh(differences, margin=5.0).p_inside, 4)
        0.0001
    """
    values = np.asarray(differences, dtype=float)
    if test is Test.ANYTIME:
        found = anytime(values, resolution)
        within = (np.nan, np.nan) if margin is None else anytime_equivalence(values, margin, resolution)
        p, interval = (found.p if len(values) > 1 else np.nan), found.interval
    else:
        differences = paired_differences(values, np.zeros_like(values))
        within = (np.nan, np.nan) if margin is None else equivalence_test(values, margin)
        p, interval = t_test(differences), mean_interval(differences)
    return Evidence(len(values), float(values.mean()) if len(values) else np.nan, interval, p, *within)


def weigh_unpaired(first: ArrayLike, second: ArrayLike, margin: float | None = None) -> Evidence:
    """Weighs the difference between two variants whose runs are no pairs, for one look.

    Args:
        first: Shape (n,), NaN for a missing run.
        second: Shape (m,), of the other variant.
        margin: As for `weigh`.

    Returns:
        The evidence; its pairs are the runs of the variant with fewer.

    Example:
        >>> round(weigh_unpaired([3.0, 4.0, 5.0], [1.0, 2.0, 3.0]).p, 3)
        0.07
    """
    one, other = (values[~np.isnan(values)] for values in (np.asarray(first, float), np.asarray(second, float)))
    pairs = min(len(one), len(other))
    p, interval = welch(one, other)
    within = (np.nan, np.nan) if margin is None else welch_equivalence(one, other, margin)
    mean = float(paired_differences([one.mean()], [other.mean()])[0]) if pairs else np.nan
    return Evidence(pairs, mean, interval, p, *within)
