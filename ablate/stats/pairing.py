"""What pairing runs by seed does, and the tests that know no pairs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ablate.stats.paired import LEVEL, Interval, are_equal, paired_differences


@dataclass(frozen=True)
class Pairing:
    """What pairing two variants by seed did.

    Attributes:
        correlation: Of their values over the seeds; NaN for fewer than three pairs or without a spread.
        interval: Its 95 % interval, by Fisher's transformation; NaN for fewer than four pairs.
        gain: The variance of the difference of two unpaired runs over that of paired ones: so many seeds, unpaired,
            are worth one that is paired.
    """

    correlation: float
    interval: Interval
    gain: float


def pairing(first: ArrayLike, second: ArrayLike) -> Pairing:
    """Measures what pairing gains.

    Args:
        first: Shape (seeds,), NaN for a missing run.
        second: The same for the other variant, in the same order of seeds.

    Example:
        >>> found = pairing([1.0, 2.0, 3.0, 4.0], [1.5, 2.0, 3.5, 4.0])
        >>> round(found.correlation, 3), round(found.gain, 1)
        (0.976, 37.0)
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    differences = paired_differences(one, other)
    both = ~(np.isnan(one) | np.isnan(other))
    one, other = one[both], other[both]
    if len(one) < 3 or are_equal(one) or are_equal(other):
        return Pairing(np.nan, Interval(np.nan, np.nan), np.nan)
    gain = np.inf if are_equal(differences) else (one.var(ddof=1) + other.var(ddof=1)) / differences.var(ddof=1)
    found = stats.pearsonr(one, other)
    bounds = found.confidence_interval(LEVEL) if len(one) > 3 else (np.nan, np.nan)
    return Pairing(float(found.statistic), Interval(float(bounds[0]), float(bounds[1])), float(gain))


def welch(first: ArrayLike, second: ArrayLike) -> tuple[float, Interval]:
    """Returns the p-value of Welch's test, which knows no pairs, and its 95 % interval of the difference of means.

    Source: B. Welch, Biometrika 34 (1947) 28.

    Args:
        first: Shape (n,), NaN for a missing run.
        second: Shape (m,), of the other variant.

    Example:
        >>> p, interval = welch([3.0, 4.0, 5.0], [1.0, 2.0, 3.0])
        >>> round(p, 3), round(interval.low, 2), round(interval.high, 2)
        (0.07, -0.27, 4.27)
    """
    difference, error, freedom = _difference(first, second)
    if not error > 0:
        return np.nan, Interval(np.nan, np.nan)
    half = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return p, Interval(difference - half, difference + half)


def welch_equivalence(first: ArrayLike, second: ArrayLike, margin: float) -> tuple[float, float]:
    """Tests whether the means of two variants are within a margin, by two one-sided tests of Welch's.

    Args:
        first: Shape (n,), NaN for a missing run.
        second: Shape (m,), of the other variant.
        margin: Above 0, in the unit of the values.

    Returns:
        Two p-values, as of `equivalence_test`.

    Example:
        >>> inside, outside = welch_equivalence([1.0, 1.1, 0.9], [1.0, 1.1, 1.0], margin=0.5)
        >>> inside < 0.01, outside
        (True, 1.0)
    """
    difference, error, freedom = _difference(first, second)
    if not error > 0:
        return np.nan, np.nan
    inside = stats.t.sf((margin - abs(difference)) / error, freedom)
    outside = 2 * stats.t.sf((abs(difference) - margin) / error, freedom)
    return float(inside), min(1.0, float(outside))


def _difference(first: ArrayLike, second: ArrayLike) -> tuple[float, float, float]:
    """Returns the difference of means, its standard error and Welch's degrees of freedom; NaN for too few values."""
    sides = [np.asarray(side, dtype=float) for side in (first, second)]
    one, other = (side[~np.isnan(side)] for side in sides)
    if min(len(one), len(other)) < 2:
        return np.nan, np.nan, np.nan
    of_means = [0.0 if are_equal(side) else side.var(ddof=1) / len(side) for side in (one, other)]
    error = float(np.sqrt(sum(of_means)))
    if error == 0:
        return float(one.mean() - other.mean()), 0.0, np.nan
    freedom = error**4 / sum(v**2 / (len(side) - 1) for v, side in zip(of_means, (one, other), strict=True))
    return float(one.mean() - other.mean()), error, float(freedom)
