"""Several data sets: a random-effects mean of differences, and what it predicts for a new data set.

The mean by Paule and Mandel (J. Res. Natl. Bur. Stand. 87, 1982); its interval by Hartung and Knapp (Stat. Med. 20,
2001), not narrowed where the data sets agree by chance; the prediction interval by Higgins, Thompson and Spiegelhalter
(J. R. Stat. Soc. A 172, 2009).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize
from scipy.stats import t

from ablate.stats.paired import ALPHA, Interval

_NONE = Interval(np.nan, np.nan)


@dataclass(frozen=True)
class Pooled:
    """A mean over data sets; of none, nothing is known.

    Attributes:
        number: Of data sets.
        mean: The mean, each data set weighed by what is known of it and by how much they differ.
        error: Its standard error.
        deviation: The standard deviation between data sets that is no matter of the runs.
        interval: The mean's 95 % interval; from two data sets.
        p: The two-sided p-value against a mean of 0.
        prediction: In which the mean difference on a new data set lies with a probability of 95 %; from three.
    """

    number: int = 0
    mean: float = np.nan
    error: float = np.nan
    deviation: float = np.nan
    interval: Interval = _NONE
    p: float = np.nan
    prediction: Interval = _NONE

    def p_against(self, bound: float) -> float:
        """Returns the one-sided p-value that speaks for a mean above a bound."""
        return float(t.sf((self.mean - bound) / self.error, self.number - 1))


def random_effects(means: ArrayLike, variances: ArrayLike) -> Pooled:
    """Returns the mean over data sets.

    Args:
        means: Shape (data sets,): the mean difference on each.
        variances: Shape (data sets,), above 0: the square of its standard error.

    Example:
        >>> found = random_effects([0.1, 0.3, 0.2, 0.5, 0.0], [0.01, 0.02, 0.015, 0.03, 0.01])
        >>> round(found.mean, 4), round(found.deviation, 4), round(found.p, 3)
        (0.1869, 0.1307, 0.082)
        >>> round(found.prediction.low, 2), round(found.prediction.high, 2)
        (-0.3, 0.68)
    """
    y, v = np.asarray(means, float), np.asarray(variances, float)
    number = len(y)

    def about(between: float) -> tuple[float, float]:
        weights = 1 / (v + between)
        mean = float(weights @ y / weights.sum())
        return mean, float(weights @ (y - mean) ** 2)

    between = 0.0
    if number > 1 and about(0.0)[1] > number - 1:
        most = float(y.var(ddof=1)) * number + float(v.max())
        between = float(optimize.brentq(lambda value: about(value)[1] - (number - 1), 0.0, most, xtol=1e-15))
    mean, error = about(between)[0], float((1 / (v + between)).sum() ** -0.5)
    interval, prediction, p = _NONE, _NONE, np.nan
    if number > 1:
        half = float(t.ppf(1 - ALPHA / 2, number - 1)) * error
        interval, p = Interval(mean - half, mean + half), float(2 * t.sf(abs(mean) / error, number - 1))
    if number > 2:
        half = float(t.ppf(1 - ALPHA / 2, number - 2) * np.sqrt(error**2 + between))
        prediction = Interval(mean - half, mean + half)
    return Pooled(number, mean, error, float(np.sqrt(between)), interval, p, prediction)
