"""How many pairs of runs a test needs, and what so many pairs can tell."""

from bisect import bisect
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ablate.stats.anytime import half_width
from ablate.stats.paired import ALPHA, are_equal

POWER = 0.8
_MOST_SEEDS = 10_000  # nobody trains more
_SPREAD_OF_EFFECT = float(stats.norm.ppf(0.9))  # of an 80 % interval


def seeds_needed(
    differences: ArrayLike,
    alpha: float = ALPHA,
    margin: float | None = None,
    is_anytime: bool = False,
    is_equality: bool = False,
) -> int | None:
    """Returns how many pairs would decide, if mean and spread are those of these differences.

    Decided is that there is a difference or, with a margin, that there is none as large as it. The test for one look
    finds what there is with a power of 80 %; the anytime-valid one is looked at after every pair.

    Args:
        differences: Shape (n,), from the seeds so far.
        alpha: The level of the test; divide it by the size of the family.
        margin: Above 0, in the unit of the differences.
        is_anytime: Whether the test is the anytime-valid one.
        is_equality: Whether only the margin is asked about: decided is a mean inside it or outside.

    Returns:
        The number of pairs, at least 2; None if the differences have no spread, or if more than 10,000 would be needed.

    Example:
        >>> seeds_needed([1.0, 2.0, 3.0]), seeds_needed([1.0, 2.0, 3.0], is_anytime=True)
        (5, 6)
    """
    effect = _effect(differences)
    if effect is None:
        return None
    return _pairs(effect, alpha, _standardised(differences, margin), is_anytime, is_equality)


def seeds_range(
    differences: ArrayLike,
    alpha: float = ALPHA,
    margin: float | None = None,
    is_anytime: bool = False,
    is_equality: bool = False,
) -> tuple[int, int | None] | None:
    """Returns the range of `seeds_needed` over the effects that the differences leave possible.

    These are an 80 % interval of the standardised mean, whose variance is 1/n + effect²/2n.

    Source: L. Hedges and I. Olkin, "Statistical Methods for Meta-Analysis", 1985, section 5.

    Args:
        differences: As for `seeds_needed`, and the others too.

    Returns:
        The fewest and the most pairs; None for the most if it is more than 10,000. None if there is nothing to go by.

    Example:
        >>> seeds_range([1.0, 2.0, 3.0])
        (3, 18)
    """
    effect = _effect(differences)
    if effect is None:
        return None
    n = len(np.asarray(differences))
    half = _SPREAD_OF_EFFECT * np.sqrt(1 / n + effect**2 / (2 * n))
    within = _standardised(differences, margin)
    effects = [*np.linspace(effect - half, effect + half, 21), *([0.0] if effect < half else [])]
    needed = [_pairs(value, alpha, within, is_anytime, is_equality) for value in effects]
    known = [pairs for pairs in needed if pairs is not None]
    return (min(known), None if None in needed else max(known)) if known else None


def smallest_difference(pairs: int, deviation: float, alpha: float = ALPHA, is_anytime: bool = False) -> float:
    """Returns the smallest mean difference that so many pairs would find, inf where they find none.

    Args:
        pairs: The number of seeds.
        deviation: The standard deviation of the differences.
        alpha: The level of the test; divide it by the size of the family.
        is_anytime: As for `seeds_needed`.

    Example:
        >>> round(smallest_difference(5, deviation=1.0), 2)  # as tables of power have it
        1.68
    """
    if pairs < 2:
        return np.inf
    low, high = 0.0, 1.0
    reached = _anytime(alpha) if is_anytime else _one_look(alpha)
    while not reached(pairs, high):
        low, high = high, 2 * high
        if high > 1e6:
            return np.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(pairs, middle) else (middle, high)
    return high * deviation


def _effect(differences: ArrayLike) -> float | None:
    """Returns the standardised mean; None without a spread."""
    values = np.asarray(differences, dtype=float)
    if len(values) < 2 or are_equal(values):
        return None
    return float(abs(values.mean()) / values.std(ddof=1))


def _standardised(differences: ArrayLike, margin: float | None) -> float | None:
    return None if margin is None else float(margin / np.std(np.asarray(differences, dtype=float), ddof=1))


def _pairs(effect: float, alpha: float, margin: float | None, is_anytime: bool, is_equality: bool) -> int | None:
    """Returns the fewest pairs that decide, by whichever decides first."""
    distances = [(abs(effect) - (margin or 0.0) * is_equality, alpha)]
    if margin is not None:  # the nearer bound decides, by a test that is one-sided where it is for one look
        distances.append((margin - abs(effect), alpha if is_anytime else 2 * alpha))
    needed = [_fewest(distance, (_anytime if is_anytime else _one_look)(level)) for distance, level in distances]
    return min((pairs for pairs in needed if pairs is not None), default=None)


def _fewest(distance: float, reached: Callable[[int, float], bool]) -> int | None:
    numbers = range(2, _MOST_SEEDS + 1)
    place = bisect(numbers, False, key=lambda pairs: reached(pairs, distance)) if distance > 0 else len(numbers)
    return numbers[place] if place < len(numbers) else None


def _one_look(alpha: float) -> Callable[[int, float], bool]:
    def reached(pairs: int, distance: float) -> bool:
        critical = stats.t.ppf(1 - alpha / 2, pairs - 1)
        # The probability of a significant difference in the wrong direction is negligible.
        return bool(stats.nct.sf(critical, pairs - 1, distance * np.sqrt(pairs)) >= POWER)

    return reached


def _anytime(alpha: float) -> Callable[[int, float], bool]:
    return lambda pairs, distance: half_width(pairs, alpha) <= distance
