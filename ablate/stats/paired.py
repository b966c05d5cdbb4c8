"""Statistics of paired runs for one look at them: intervals, tests, families, and how many seeds they need."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

LEVEL = 0.95  # of every interval
ALPHA = 0.05
_EXACT = 20  # pairs up to which all sign patterns are counted: 2**20 of them
_SAMPLED = 20_000  # sign patterns beyond that
_BLOCK = 2**15  # sign patterns held in memory at a time
_DIGITS = 12  # of a value, beyond which a difference is rounding


@dataclass(frozen=True)
class Interval:
    """A confidence or prediction interval; its bounds are NaN if there are too few values, or all values are equal."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Comparison:
    """What paired runs say about the difference between two variants, the first minus the second.

    Attributes:
        pairs: Number of seeds that both variants have.
        mean: Mean difference.
        interval: 95 % t-interval of the mean difference.
        p_t: Two-sided p-value of the paired t-test.
        p_sign_flip: Two-sided p-value of the exact sign-flip test.
        p_smallest: The smallest p-value that the sign-flip test can give for this number of pairs; beyond 20 pairs
            its sign patterns are a sample, whose resolution this is.
        superiority: Share of pairs in which the first is higher; ties count half.
        wins: Number of pairs in which the first is higher.
        ties: Number of pairs that are equal.
        standardised: Mean difference divided by the standard deviation of the differences.
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

    @property
    def is_sampled(self) -> bool:
        """Whether the sign-flip test rests on a sample of the sign patterns, as beyond 20 pairs."""
        return self.pairs > _EXACT

    def reversed(self) -> "Comparison":
        """Returns the comparison of the second variant with the first."""
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
        first: Shape (seeds,), a value for each seed; NaN for a missing run.
        second: The same for the other variant, in the same order of seeds.

    Returns:
        The comparison of the first with the second. With fewer than two pairs, everything that needs a spread is NaN.
        If all differences are equal, as happens with accuracies on few images, there is no interval, and the exact test
        takes the place of the t-test, which would call any difference certain.

    Raises:
        ValueError: The two have different shapes.

    Example:
        >>> found = compare([0.81, 0.78, 0.84, 0.80], [0.79, 0.77, 0.80, float("nan")])
        >>> found.pairs, round(found.mean, 4), found.wins
        (3, 0.0233, 3)
        >>> round(found.p_t, 3), found.p_sign_flip, found.p_smallest
        (0.118, 0.25, 0.25)
    """
    differences = paired_differences(first, second)
    pairs = len(differences)
    mean = float(differences.mean()) if pairs else np.nan
    deviation = np.nan if pairs < 2 else 0.0 if are_equal(differences) else float(differences.std(ddof=1))
    wins, ties = int((differences > 0).sum()), int((differences == 0).sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        standardised = float(np.divide(mean, deviation))
    return Comparison(
        pairs=pairs,
        mean=mean,
        interval=mean_interval(differences),
        p_t=t_test(differences),
        p_sign_flip=sign_flip_test(differences),
        p_smallest=2.0 ** (1 - pairs) if 0 < pairs <= _EXACT else 1 / (_SAMPLED + 1) if pairs else np.nan,
        superiority=(wins + ties / 2) / pairs if pairs else np.nan,
        wins=wins,
        ties=ties,
        standardised=standardised,
    )


def paired_differences(first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
    """Returns first minus second for the pairs that are complete, without the rounding of the subtraction.

    Args:
        first: Shape (seeds,), NaN for a missing run.
        second: The same for the other variant.

    Raises:
        ValueError: The two have different shapes.

    Example:
        >>> paired_differences([3.0, 5.0, float("nan")], [1.0, 2.0, 3.0]).tolist()
        [2.0, 3.0]
    """
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if one.shape != other.shape or one.ndim != 1:
        raise ValueError(f"paired values have shapes {one.shape} and {other.shape}; give one value for each seed")
    both = ~(np.isnan(one) | np.isnan(other))
    differences: NDArray[np.float64] = one[both] - other[both]
    size = max(np.abs(one[both]).max(initial=0), np.abs(other[both]).max(initial=0))
    # 0.9 - 0.8 and 0.8 - 0.7 are equal on paper; the spread that rounding leaves would make any difference certain.
    return differences if size == 0 else np.round(differences, _DIGITS - int(np.ceil(np.log10(size))))


def mean_interval(values: ArrayLike) -> Interval:
    """Returns the 95 % t-interval of the mean of values, shape (n,).

    Example:
        >>> interval = mean_interval([1.0, 2.0, 3.0])
        >>> round(interval.low, 3), round(interval.high, 3)
        (-0.484, 4.484)
    """
    return _t_interval(values, lambda n: 1 / n)


def prediction_interval(values: ArrayLike) -> Interval:
    """Returns the 95 % prediction interval for one new value, given values of shape (n,).

    Source: G. Hahn and W. Meeker, "Statistical Intervals", 1991, section 4.7: mean ± t s sqrt(1 + 1/n).

    Example:
        >>> interval = prediction_interval([1.0, 2.0, 3.0])
        >>> 6.9 in interval, 7.0 in interval
        (True, False)
    """
    return _t_interval(values, lambda n: 1 + 1 / n)


def sign_flip_test(differences: ArrayLike) -> float:
    """Returns the two-sided p-value of the sign-flip test that differences are symmetric about 0.

    All sign patterns are counted for up to 20 differences, and a fixed sample of 20,000 for more.

    Args:
        differences: Shape (n,).

    Example:
        >>> sign_flip_test([1.0, 2.0, 3.0])  # 2 of 8 sign patterns have a sum at least as far from 0
        0.25
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
        margin: Above 0, in the unit of the differences.

    Returns:
        Two p-values: a small first one is evidence for a mean inside the margin, a small second one, which is
        two-sided, for a mean outside.

    Example:
        >>> inside, outside = equivalence_test([0.1, -0.1, 0.05, -0.05], margin=0.5)
        >>> inside < 0.01, outside
        (True, 1.0)
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    inside = max(_p_greater(values + margin), _p_greater(margin - values))
    outside = 2 * min(_p_greater(values - margin), _p_greater(-margin - values))
    return inside, min(1.0, outside)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted for a family of tests, by the step-down method of S. Holm (1979).

    Args:
        p_values: One for each comparison of the family; NaN stays NaN and does not count.

    Example:
        >>> holm([0.01, 0.25, 0.125])
        [0.03, 0.25, 0.25]
    """
    p = np.asarray(p_values, dtype=float)
    adjusted = np.full_like(p, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors)) if len(order) else []
    return [float(value) for value in adjusted]


def are_equal(values: NDArray[np.float64]) -> bool:
    """Whether values, shape (n,) with n of 1 or more, differ by no more than rounding does."""
    return bool(np.ptp(values) <= 10.0**-_DIGITS * np.abs(values).max())


def adjust(p_values: Sequence[float]) -> tuple[list[float], int]:
    """Returns p-values adjusted by `holm`, and the size of their family: how many are p-values, and not NaN.

    Example:
        >>> adjust([0.01, float("nan"), 0.04])[1]
        2
    """
    return holm(p_values), int(np.count_nonzero(~np.isnan(np.asarray(p_values, dtype=float))))


def _p_greater(values: NDArray[np.float64]) -> float:
    if are_equal(values):  # the p-value of the exact test
        return 0.5 ** len(values) if values[0] > 0 else 1.0
    return float(stats.ttest_1samp(values, 0, alternative="greater").pvalue)


def t_test(differences: NDArray[np.float64]) -> float:
    """Returns the two-sided p-value of the t-test, and where all differences are equal that of the exact test."""
    if len(differences) < 2:
        return np.nan
    if are_equal(differences):
        return sign_flip_test(differences)
    return float(stats.ttest_1samp(differences, 0).pvalue)


def _t_interval(values: ArrayLike, spread: Callable[[int], float]) -> Interval:
    array = np.asarray(values, dtype=float)
    n = len(array)
    if n < 2 or are_equal(array):
        return Interval(np.nan, np.nan)
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * array.std(ddof=1) * np.sqrt(spread(n))
    return Interval(float(array.mean() - half), float(array.mean() + half))


@dataclass(frozen=True)
class Ratio:
    """A ratio of times with its 95 % interval."""

    estimate: float
    low: float
    high: float

    @property
    def precision(self) -> float:
        """Half the width of the interval of the logarithm: 0.01 is about a percent."""
        return float(np.log(self.high / self.low) / 2)


def ratio(first: ArrayLike, second: ArrayLike) -> Ratio:
    """Returns the geometric mean of the ratios of paired times, with a t-interval on logarithms.

    Args:
        first: Seconds above 0, shape (rounds,); two rounds or more.
        second: The seconds of the other variant in the same rounds.

    Example:
        >>> found = ratio([2.0, 4.0, 3.0], [1.0, 2.0, 1.5])
        >>> round(found.estimate, 3), round(found.precision, 3)
        (2.0, 0.0)
    """
    logs = np.log(np.asarray(first, dtype=float)) - np.log(np.asarray(second, dtype=float))
    half = stats.t.ppf((1 + LEVEL) / 2, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    middle = logs.mean()
    return Ratio(*(float(np.exp(value)) for value in (middle, middle - half, middle + half)))
