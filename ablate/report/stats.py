"""Statistics of paired runs: pure functions from arrays to numbers.

Runs are paired by seed: `differences[i]` is the difference between two variants trained from seed i. NaN stands for a
run that is missing; a pair with one is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95  # of every interval
ALPHA = 0.05
POWER = 0.8
_EXACT = 20  # pairs up to which all sign patterns are counted: 2**20 of them
_SAMPLED = 100_000  # sign patterns beyond that
_MOST_SEEDS = 10_000  # beyond which more seeds are no answer


@dataclass(frozen=True)
class Interval:
    """A confidence or prediction interval, its bounds NaN where there are too few values for one."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """What paired runs say of the difference between two variants, the first minus the second.

    Attributes:
        pairs: Seeds that both have.
        mean: Mean difference.
        interval: 95 % t-interval of the mean difference.
        p_t: Two-sided p-value of the paired t-test.
        p_sign_flip: Two-sided p-value of the exact sign-flip test.
        p_smallest: The smallest p-value that so many pairs could give the sign-flip test.
        superiority: Share of pairs in which the first is higher, ties counted half.
        wins: Pairs in which the first is higher.
        ties: Pairs that are equal.
        standardised: Mean difference in standard deviations of the differences.
    """

    pairs: int
    mean: float
    interval: Interval
    p_t: float
    p_sign_flip: float
    p_smallest: float
    superiority: float
    wins: int
    ties: int
    standardised: float


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compares paired runs of two variants.

    Args:
        first: Shape (seeds,), a value for each seed; NaN where there is none.
        second: The same for the other variant, in the same order of seeds.

    Returns:
        The comparison of the first with the second. With less than two pairs all that needs a spread is NaN; where all
        differences are equal, the t-test's p-value is 1 if they are 0, and 0 if not.

    Raises:
        ValueError: The two have different shapes.
    """
    differences = paired_differences(first, second)
    pairs = len(differences)
    mean = float(differences.mean()) if pairs else np.nan
    deviation = float(differences.std(ddof=1)) if pairs > 1 else np.nan
    wins, ties = int((differences > 0).sum()), int((differences == 0).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        standardised = float(np.divide(mean, deviation))
    return Comparison(
        pairs=pairs,
        mean=mean,
        interval=mean_interval(differences),
        p_t=_p_t(differences),
        p_sign_flip=sign_flip_test(differences),
        p_smallest=2.0 ** (1 - pairs) if pairs else np.nan,
        superiority=(wins + ties / 2) / pairs if pairs else np.nan,
        wins=wins,
        ties=ties,
        standardised=standardised,
    )


def paired_differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Returns first minus second for the pairs that have both.

    Raises:
        ValueError: The two have different shapes.
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"paired values have shapes {one.shape} and {other.shape}; give one value for each seed")
    both = ~(np.isnan(one) | np.isnan(other))
    differences: NDArray[np.float64] = one[both] - other[both]
    return differences


def mean_interval(values: ArrayLike) -> Interval:
    """Returns the 95 % t-interval of the mean of values, shape (n,)."""
    return _t_interval(values, lambda n: 1 / n)


def prediction_interval(values: ArrayLike) -> Interval:
    """Returns the 95 % prediction interval for one new value, given values of shape (n,).

    Source: G. Hahn and W. Meeker, "Statistical Intervals", 1991, section 4.7: mean ± t s sqrt(1 + 1/n).
    """
    return _t_interval(values, lambda n: 1 + 1 / n)


def sign_flip_test(differences: ArrayLike) -> float:
    """Returns the two-sided p-value of the sign-flip test that differences are symmetric about 0.

    All sign patterns are counted for up to 20 differences, and a fixed sample of 100,000 beyond.

    Args:
        differences: Shape (n,).
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:  # which scipy refuses; both sign patterns of one difference are as extreme as each other
        return 1.0 if len(values) else np.nan
    result = stats.permutation_test(
        (values, np.zeros_like(values)),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=2 ** len(values) if len(values) <= _EXACT else _SAMPLED,
        batch=10_000,
        rng=np.random.default_rng(0),
    )
    return float(result.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for being a family, by S. Holm's step-down method (1979); NaN stays and does not count.

    Args:
        p_values: Of all comparisons of a family.
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return [float(value) for value in adjusted]


def seeds_needed(differences: ArrayLike, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Returns how many pairs a two-sided paired t-test would need if the differences went on as they are.

    Args:
        differences: Shape (n,), from the seeds so far.
        alpha: The level of the test; divide it by the size of a family.
        power: The chance to find the difference.

    Returns:
        The number of pairs, at least 2; None where there is no spread to go by, or over 10,000 would be needed.
    """
    values = np.asarray(differences, dtype=float)
    deviation = values.std(ddof=1) if len(values) > 1 else 0.0
    if deviation == 0 or values.mean() == 0:
        return None
    effect = abs(values.mean()) / deviation

    def reached(pairs: int) -> float:
        critical = stats.t.ppf(1 - alpha / 2, pairs - 1)
        # The chance of a significant difference in the wrong direction is too small to count.
        return float(stats.nct.sf(critical, pairs - 1, effect * np.sqrt(pairs)))

    low, high = 2, 2
    while reached(high) < power:
        low, high = high, 2 * high
        if high > _MOST_SEEDS:
            return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= power else (middle + 1, high)
    return high


def _p_t(differences: NDArray[np.float64]) -> float:
    if len(differences) < 2:
        return np.nan
    if np.ptp(differences) == 0:  # where scipy warns of a division by 0
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _t_interval(values: ArrayLike, spread: Callable[[int], float]) -> Interval:
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 2:
        return Interval(np.nan, np.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * array.std(ddof=1) * np.sqrt(spread(n))
    return Interval(float(array.mean() - half), float(array.mean() + half))
