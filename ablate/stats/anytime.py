"""Statistics of paired runs at any number of looks: whoever adds seeds until something is decided looks many times.

The likelihood ratio of the t-statistic, with a normal prior on the standardised mean and the right-Haar prior on the
spread, is an e-value at every number of pairs at once: if the mean is 0 and differences are normal, the chance that it
ever reaches 1/alpha is at most alpha, whatever made somebody look, add seeds or stop.

Sources: T. Lai, Ann. Statist. 4 (1976) 265; M. Pérez-Ortiz, T. Lardy, R. de Heide, P. Grünwald, Ann. Statist. 52 (2024)
1410; H. Wang, A. Ramdas, arXiv 2310.03722.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ablate.stats.paired import ALPHA, Interval, are_equal

PRIOR_VARIANCE = 4.0  # of the standardised mean: the g of the formulas
_STAKES = (0.5, 1.0, 2.0, 8.0)


@dataclass(frozen=True)
class Anytime:
    """What paired differences say at any number of looks.

    Attributes:
        e: The e-value: the factor by which the differences speak against a mean of 0.
        p: min(1, 1/e), valid at every look at once.
        interval: The confidence sequence at this number of pairs; unbounded where they are too few.
        e_sign_flip: The e-value that takes nothing for granted but symmetry.
    """

    e: float
    p: float
    interval: Interval
    e_sign_flip: float


def anytime(differences: ArrayLike, resolution: float = 0.0, alpha: float = ALPHA) -> Anytime:
    """Returns the anytime-valid test that paired differences have mean 0, with its confidence sequence.

    Args:
        differences: Shape (n,), in the order of the seeds; NaN is left out.
        resolution: The step in which the metric's values come, such as 1 / test images; 0 where there is none. What it
            rounds away is added to the spread, or a few equal differences would be certain.
        alpha: One minus the level of the interval.

    Example:
        >>> few = anytime([0.021, 0.018, 0.025])
        >>> round(few.p, 3), few.interval
        (0.103, Interval(low=-inf, high=inf))
        >>> more = anytime([0.021, 0.018, 0.025, 0.022, 0.019])
        >>> round(more.p, 3), more.interval.low > 0
        (0.004, True)
    """
    values = np.asarray(differences, dtype=float)
    values = values[~np.isnan(values)]
    e = e_value(values, resolution)
    return Anytime(e, min(1.0, 1 / e), confidence_sequence(values, resolution, alpha), sign_flip_e_value(values))


def e_value(differences: ArrayLike, resolution: float = 0.0) -> float:
    """Returns the e-value against a mean of 0; 1 for fewer than two differences.

    Args:
        differences: Shape (n,); their order does not matter.
        resolution: As for `anytime`.

    Example:
        >>> round(e_value([1.0, 3.0]), 4)  # mean 2, squares 2, so u = 4 and k = 9
        1.1538
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if n < 2:
        return 1.0
    k = 1 + n * PRIOR_VARIANCE
    squares, mean = _squares(values, resolution), values.mean()
    if mean == 0:
        return float(k**-0.5)
    with np.errstate(over="ignore"):  # where e is beyond any number, it is infinite
        if squares == 0:  # all are equal: the limit
            return float(np.power(k, (n - 1) / 2))
        u = n * mean**2 / squares
        return float(np.exp(-np.log(k) / 2 - n / 2 * (np.log1p(u / k) - np.log1p(u))))


def confidence_sequence(differences: ArrayLike, resolution: float = 0.0, alpha: float = ALPHA) -> Interval:
    """Returns the means that `e_value` does not speak against by 1/alpha: an interval that covers at all looks at once.

    Args:
        differences: Shape (n,); their order does not matter.
        resolution: As for `anytime`.
        alpha: One minus the level.

    Example:
        >>> interval = confidence_sequence([1.0, 2.0, 3.0, 2.0, 2.0, 1.0])
        >>> round(interval.low, 2), round(interval.high, 2)
        (0.38, 3.29)
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    half = half_width(n, alpha)
    if np.isinf(half):
        return Interval(-np.inf, np.inf)
    half *= np.sqrt(_squares(values, resolution) / (n - 1))
    return Interval(float(values.mean() - half), float(values.mean() + half))


def anytime_equivalence(differences: ArrayLike, margin: float, resolution: float = 0.0) -> tuple[float, float]:
    """Tests at any number of looks whether the mean of differences lies within a margin around 0.

    It does where the confidence sequence lies inside the margin, and does not where it lies outside: the p-values are
    the smallest alpha for which it does.

    Args:
        differences: Shape (n,); their order does not matter.
        margin: Above 0, in the unit of the differences.
        resolution: As for `anytime`.

    Returns:
        Two p-values, as of `equivalence_test`: a small first one speaks for a mean inside the margin, a small second
        one for a mean outside.

    Example:
        >>> inside, outside = anytime_equivalence([0.1, -0.1, 0.05, -0.05, 0.0], margin=0.5)
        >>> round(inside, 4), outside
        (0.0052, 1.0)
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    against = min(e_value(values - margin, resolution), e_value(values + margin, resolution))
    p = min(1.0, 1 / against)
    return (p, 1.0) if abs(values.mean()) < margin else (1.0, p)


def half_width(n: int, alpha: float = ALPHA) -> float:
    """Returns the half-width of the confidence sequence in standard deviations of the differences; inf if unbounded.

    Args:
        n: Number of pairs.
        alpha: One minus the level.

    Example:
        >>> half_width(3), round(half_width(10), 3)
        (inf, 1.256)
    """
    k = 1 + n * PRIOR_VARIANCE
    c = (alpha**2 / k) ** (1 / n) if n else 0.0
    if n < 2 or c <= 1 / k:
        return np.inf
    return float(np.sqrt((n - 1) / n * (1 - c) / (c - 1 / k)))


def sign_flip_e_value(differences: ArrayLike) -> float:
    """Returns the e-value against differences that are symmetric about 0, of whatever distribution.

    It is the mean of betting games at several stakes: game c multiplies its capital by exp(c z) / cosh(c z), where z is
    the next difference over the root mean square of those so far. With n differences it is at most 2**n / 2.

    Source: V. de la Peña, Ann. Probab. 27 (1999) 537.

    Args:
        differences: Shape (n,), in the order in which they came.

    Example:
        >>> [round(sign_flip_e_value([1.0] * n), 1) for n in (5, 6)]  # six can reach 20
        [10.6, 20.1]
    """
    values = np.asarray(differences, dtype=float)
    scale = np.sqrt(np.cumsum(values**2) / np.arange(1, len(values) + 1))
    z = np.divide(values, scale, out=np.zeros_like(values), where=scale > 0)
    stakes = np.array([sign * stake for stake in _STAKES for sign in (1, -1)])[:, None]
    log_capital = np.sum(stakes * z - np.logaddexp(stakes * z, -stakes * z) + np.log(2), axis=1)
    return float(np.exp(log_capital).mean())


def fewest_to_decide(family: int = 1, alpha: float = ALPHA) -> int:
    """Returns the fewest pairs with which `e_value` can decide one comparison of a family.

    Example:
        >>> fewest_to_decide(1), fewest_to_decide(16)
        (4, 5)
    """
    n = 2
    while (1 + PRIOR_VARIANCE * n) ** ((n - 1) / 2) < family / alpha:
        n += 1
    return n


def _squares(values: NDArray[np.float64], resolution: float) -> float:
    """Returns the sum of squares about the mean, and what rounding could have taken away: r²/4 a difference.

    The variance of two roundings, r²/6, is too little for families: where all differences are of one image, more than
    5 % of families of 8 claims have a false finding.
    """
    squares = 0.0 if are_equal(values) else float(((values - values.mean()) ** 2).sum())
    return squares + len(values) * resolution**2 / 4
