"""Statistics of paired runs: pure functions from arrays to numbers.

Runs are paired by seed: `differences[i]` is the difference between two variants trained from seed i. NaN stands for a
run that is missing; a pair with one is left out.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95  # of every interval
ALPHA = 0.05
POWER = 0.8
_EXACT = 20  # pairs up to which all sign patterns are counted: 2**20 of them
_SAMPLED = 20_000  # sign patterns beyond that
_BLOCK = 2**15  # sign patterns at a time, to bound the memory
_MOST_SEEDS = 10_000  # beyond which more seeds are no answer


@dataclass(frozen=True)
class Interval:
    """A confidence or prediction interval, its bounds NaN where there are too few values for one or all are equal."""

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

    def reversed(self) -> "Comparison":
        """Returns the same of the second variant against the first."""
        return replace(
            self,
            mean=-self.mean,
            interval=Interval(-self.interval.high, -self.interval.low),
            superiority=1 - self.superiority,
            wins=self.pairs - self.wins - self.ties,
            standardised=-self.standardised,
        )


def compare(first: ArrayLike, second: ArrayLike) -> Comparison:
    """Compares paired runs of two variants.

    Args:
        first: Shape (seeds,), a value for each seed; NaN where there is none.
        second: The same for the other variant, in the same order of seeds.

    Returns:
        The comparison of the first with the second. With less than two pairs all that needs a spread is NaN. Where all
        differences are equal, as happens to accuracies on few images, there is no interval, and the t-test, which would
        be certain of any difference, gives way to the exact test.

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

    All sign patterns are counted for up to 20 differences, and a fixed sample of 20,000 beyond.

    Args:
        differences: Shape (n,).
    """
    values = np.asarray(differences, dtype=float)
    if len(values) == 0:
        return np.nan
    # A tolerance, because sums that are equal on paper differ by rounding.
    least = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    extreme: int = sum(int((np.abs(signs @ values) >= least).sum()) for signs in _sign_patterns(len(values)))
    if len(values) <= _EXACT:
        return float(extreme / 2 ** len(values))
    return (extreme + 1) / (_SAMPLED + 1)  # the observed signs are one more pattern


def _sign_patterns(n: int) -> Iterator[NDArray[np.int8]]:
    """Yields sign patterns in blocks of shape (patterns, n): all of them, or a fixed sample."""
    rng = np.random.default_rng(0)
    patterns = 2**n if n <= _EXACT else _SAMPLED
    for start in range(0, patterns, _BLOCK):
        rows = min(_BLOCK, patterns - start)
        if n <= _EXACT:
            bits = np.arange(start, start + rows)[:, None] >> np.arange(n) & 1
        else:
            bits = rng.integers(0, 2, (rows, n), dtype=np.int8)
        yield (2 * bits - 1).astype(np.int8)


def equivalence_test(differences: ArrayLike, margin: float) -> tuple[float, float]:
    """Tests whether the mean of differences lies within a margin around 0, by two one-sided t-tests.

    Source: D. Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657.

    Args:
        differences: Shape (n,).
        margin: Above 0, in the differences' unit.

    Returns:
        The p-value that speaks for a mean inside the margin, and the two-sided one that speaks for a mean outside.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    above = _p_greater(values + margin)  # that the mean is above -margin
    below = _p_greater(margin - values)
    return max(above, below), min(1.0, 2 * min(1 - above, 1 - below))


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


def _p_greater(values: NDArray[np.float64]) -> float:
    if np.ptp(values) == 0:  # the exact test's
        return 0.5 ** len(values) if values[0] > 0 else 1.0
    return float(stats.ttest_1samp(values, 0, alternative="greater").pvalue)


def _p_t(differences: NDArray[np.float64]) -> float:
    if len(differences) < 2:
        return np.nan
    if np.ptp(differences) == 0:
        return sign_flip_test(differences)
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _t_interval(values: ArrayLike, spread: Callable[[int], float]) -> Interval:
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 2 or np.ptp(array) == 0:
        return Interval(np.nan, np.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * array.std(ddof=1) * np.sqrt(spread(n))
    return Interval(float(array.mean() - half), float(array.mean() + half))


@dataclass(frozen=True)
class Ratio:
    """How many times as long one thing takes as another, with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def precision(self) -> float:
        """Half the interval's width on the logarithm: 0.01 is about a percent."""
        return float(np.log(self.high / self.low) / 2)


def ratio(first: ArrayLike, second: ArrayLike) -> Ratio:
    """Returns the ratio of paired times: their geometric mean ratio, with a t-interval on logarithms.

    Args:
        first: Seconds above 0, shape (rounds,); two rounds or more.
        second: The other's in the same rounds.
    """
    logs = np.log(np.asarray(first, dtype=float)) - np.log(np.asarray(second, dtype=float))
    half = stats.t.ppf((1 + LEVEL) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    middle = logs.mean()
    return Ratio(*(float(np.exp(value)) for value in (middle, middle - half, middle + half)))
