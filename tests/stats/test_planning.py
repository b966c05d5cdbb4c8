"""Numbers of seeds, against statsmodels, simulation, and each other."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from ablate.stats import confidence_sequence, half_width, seeds_needed, seeds_range, smallest_difference


@pytest.mark.parametrize("effect", [0.4, 0.8, 1.5, 3.0])
def test_the_seeds_needed_equal_statsmodels(effect: float) -> None:
    spread = np.array([-1.0, 0.0, 1.0])  # standard deviation 1
    needed = seeds_needed(spread + effect)
    power = TTestPower().power
    assert needed is not None
    assert power(effect, needed, 0.05) >= 0.8
    assert needed == 2 or power(effect, needed - 1, 0.05) < 0.8


def test_seeds_that_settle_nothing() -> None:
    assert seeds_needed([0.1]) is None
    assert seeds_needed([1, 1, 1]) is None
    assert seeds_needed([-1, 1]) is None
    assert seeds_needed([-1, 1.0001]) is None


@pytest.mark.parametrize("effect", [0.0281, 0.03])
def test_numbers_up_to_ten_thousand_are_said(effect: float) -> None:
    spread = np.array([-1.0, 0.0, 1.0])
    needed = seeds_needed(spread + effect)
    assert needed is not None and needed > 8192
    assert needed == pytest.approx(((stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) / effect) ** 2, rel=0.001)


@pytest.mark.parametrize("effect", [0.5, 1.0, 2.0, 5.0])
def test_the_anytime_valid_test_decides_where_its_sequence_excludes_zero(effect: float) -> None:
    needed = seeds_needed(np.array([-1.0, 0.0, 1.0]) + effect, is_anytime=True)
    assert needed is not None
    assert half_width(needed) <= effect < half_width(needed - 1)
    values = np.array([-1.0, 1.0] * (needed // 2) + [0.0] * (needed % 2))
    values = values / values.std(ddof=1) + effect  # their mean is the effect, their standard deviation 1
    assert confidence_sequence(values).low >= -1e-9


def test_a_margin_decides_where_there_is_no_difference() -> None:
    spread = np.array([-1.0, 0.0, 1.0])
    assert seeds_needed(spread) is None
    within = seeds_needed(spread, margin=1.0)
    assert within is not None
    # Two one-sided tests at the level alpha: as many as a two-sided one at twice the level needs for the margin.
    assert within == seeds_needed(spread + 1.0, alpha=0.1)
    assert seeds_needed(spread + 3.0, margin=1.0) == seeds_needed(spread + 3.0)
    anytime = seeds_needed(spread, margin=1.0, is_anytime=True)
    assert anytime is not None and half_width(anytime) <= 1 < half_width(anytime - 1)


def test_the_range_holds_the_estimate_and_ends_where_nothing_is_known() -> None:
    values = np.random.default_rng(3).normal(1.0, 1.0, 12)
    low, high = seeds_range(values)
    assert low <= seeds_needed(values) <= high
    assert seeds_range(values - values.mean()) == (seeds_range(values - values.mean())[0], None)
    wide = seeds_range(values - values.mean(), margin=3.0)
    assert wide is not None and wide[1] is not None
    assert seeds_range([1.0, 1.0]) is None and seeds_range([1.0]) is None


@pytest.mark.parametrize("is_anytime", [False, True])
@pytest.mark.parametrize("pairs", [5, 20])
def test_the_smallest_difference_is_the_one_that_needs_so_many_pairs(pairs: int, is_anytime: bool) -> None:
    smallest = smallest_difference(pairs, deviation=2.0, is_anytime=is_anytime)
    values = np.array([-2.0, 0.0, 2.0])  # of standard deviation 2
    assert seeds_needed(values + smallest * 1.001, is_anytime=is_anytime) == pairs
    assert seeds_needed(values + smallest * 0.999, is_anytime=is_anytime) == pairs + 1
    if not is_anytime:
        assert TTestPower().power(smallest / 2.0, pairs, 0.05) == pytest.approx(0.8, abs=1e-6)


def test_too_few_pairs_find_nothing() -> None:
    assert smallest_difference(1, 1.0) == math.inf
    assert smallest_difference(3, 1.0, is_anytime=True) == math.inf
    assert smallest_difference(2, 1.0) > 10
