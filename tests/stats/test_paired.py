"""The statistics against scipy and statsmodels, cases worked by hand, and simulation."""

import gc
import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from ablate.stats import (
    compare,
    equivalence_test,
    holm,
    mean_interval,
    paired_differences,
    pairing,
    prediction_interval,
    sign_flip_test,
    welch,
    welch_equivalence,
)

ONE = [0.62, 0.66, 0.64, 0.61, 0.67]
OTHER = [0.50, 0.52, 0.55, 0.49, 0.51]
values = st.floats(-100, 100).map(lambda value: round(value, 3))


def test_a_comparison_equals_scipys() -> None:
    found = compare(ONE, OTHER)
    test = stats.ttest_rel(ONE, OTHER)
    low, high = test.confidence_interval(0.95)
    differences = np.subtract(ONE, OTHER)
    assert found.pairs == 5
    assert found.mean == pytest.approx(differences.mean())
    assert (found.interval.low, found.interval.high) == (pytest.approx(low), pytest.approx(high))
    assert found.p_t == pytest.approx(test.pvalue)
    assert found.standardised == pytest.approx(differences.mean() / stats.tstd(differences))
    assert (found.superiority, found.wins, found.ties) == (1, 5, 0)


@given(st.lists(values, min_size=1, max_size=8))
@settings(deadline=None)
def test_the_sign_flip_test_counts_all_patterns(differences: list[float]) -> None:
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * value for sign, value in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    expected = sum(value >= observed - 1e-9 for value in sums) / len(sums)
    assert sign_flip_test(differences) == pytest.approx(expected)


@pytest.mark.parametrize("pairs", [1, 2, 3, 5, 10])
def test_the_smallest_p_value_that_so_many_pairs_give(pairs: int) -> None:
    found = compare(np.arange(1, pairs + 1), np.zeros(pairs))
    assert found.p_sign_flip == found.p_smallest == pytest.approx(2 / 2**pairs)


def test_three_seeds_never_reach_the_level() -> None:
    assert compare([1, 2, 3], [0, 0, 0]).p_smallest == 0.25


def test_many_pairs_are_sampled_and_repeat() -> None:
    rng = np.random.default_rng(1)
    differences = rng.normal(0.3, 1, 40)
    p = sign_flip_test(differences)
    assert p == sign_flip_test(differences)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.02)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
@settings(deadline=None)
def test_holm_equals_statsmodels(p_values: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda: 0)  # which takes it a second at each call
        expected = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    with_missing = holm([0.02, math.nan, 0.01])
    assert with_missing[::2] == pytest.approx([0.02, 0.02])
    assert math.isnan(with_missing[1])
    assert holm([]) == []


def test_a_prediction_interval_by_hand() -> None:
    # n = 4, mean 10, standard deviation 2; t(0.975, 3) = 3.18245
    interval = prediction_interval([8, 10 - math.sqrt(2), 10 + math.sqrt(2), 12])
    assert interval.high - 10 == pytest.approx(3.18245 * 2 * math.sqrt(1.25), rel=1e-5)
    assert 10 in interval
    assert 18 not in interval


def test_too_few_and_equal_values() -> None:
    one = compare([1.0], [0.5])
    assert (one.pairs, one.mean, one.p_sign_flip) == (1, 0.5, 1.0)
    assert math.isnan(one.interval.low)
    assert math.isnan(one.p_t)
    assert math.isnan(one.standardised)
    assert 0.5 not in one.interval

    equal = compare([1, 2, 3], [1, 2, 3])
    assert (equal.mean, equal.p_t, equal.p_sign_flip, equal.superiority, equal.ties) == (0, 1, 1, 0.5, 3)
    assert math.isnan(equal.interval.low)

    constant = compare([2, 3, 4], [1, 2, 3])
    assert (constant.mean, constant.p_t, constant.p_sign_flip) == (1, 0.25, 0.25)
    assert math.isnan(constant.interval.high)

    nothing = compare([], [])
    assert nothing.pairs == 0
    assert math.isnan(nothing.mean)
    assert math.isnan(nothing.p_sign_flip)


def test_two_pairs() -> None:
    found = compare([1, 3], [0, 0])
    assert found.p_t == pytest.approx(stats.ttest_1samp([1, 3], 0).pvalue)
    assert found.interval.high == pytest.approx(2 + 12.7062, rel=1e-5)  # t(0.975, 1), a standard error of 1


def test_equal_differences_are_equal_whatever_rounding_leaves() -> None:
    comparison = compare([0.9, 0.8, 0.7], [0.8, 0.7, 0.6])
    assert comparison.p_t == comparison.p_sign_flip == 0.25
    assert math.isnan(comparison.interval.low) and comparison.wins == 3
    assert compare([0.3, 0.3, 0.1 + 0.2], [0.2, 0.2, 0.2]).p_t == 0.25
    assert compare([1e9, 2e9 + 1, 3e9], [1e9, 2e9, 3e9]).wins == 1  # an image in a billion is a difference


def test_equal_differences_outside_a_margin_are_as_sure_as_their_number() -> None:
    inside, outside = equivalence_test([0.25, 0.25], 0.1)
    assert inside == 1 and outside == 0.5
    assert equivalence_test([-0.25] * 7, 0.1)[1] == 2 * 0.5**7


def test_a_sampled_test_says_its_resolution() -> None:
    exact, sampled = (compare(np.arange(1.0, n + 1), np.zeros(n)) for n in (20, 21))
    assert not exact.is_sampled and exact.p_smallest == 2**-19
    assert sampled.is_sampled and sampled.p_sign_flip == sampled.p_smallest == 1 / 20_001


@given(st.lists(st.tuples(values, values), min_size=4, max_size=12))
@settings(deadline=None)
def test_pairing_equals_numpy(pairs: list[tuple[float, float]]) -> None:
    first, second = np.array(pairs).T
    assume(min(np.ptp(first), np.ptp(second), np.ptp(first - second)) > 1e-3)
    found = pairing(first, second)
    assert found.correlation == pytest.approx(np.corrcoef(first, second)[0, 1], abs=1e-9)
    expected = (first.var(ddof=1) + second.var(ddof=1)) / (first - second).var(ddof=1)
    assert found.gain == pytest.approx(expected)
    # Fisher's transformation, by hand.
    if abs(found.correlation) < 0.999:
        z, half = np.arctanh(found.correlation), stats.norm.ppf(0.975) / np.sqrt(len(first) - 3)
        assert found.interval.low == pytest.approx(np.tanh(z - half), abs=1e-6)
        assert found.interval.high == pytest.approx(np.tanh(z + half), abs=1e-6)


def test_pairing_of_too_few_and_of_equal_values() -> None:
    assert math.isnan(pairing([1.0, 2.0], [1.0, 3.0]).correlation)
    assert math.isnan(pairing([1.0, 2.0, 3.0], [1.0, 1.0, 1.0]).gain)
    assert pairing([1.0, 2.0, 4.0], [0.0, 1.0, 3.0]).gain == math.inf
    assert math.isnan(pairing([1.0, 2.0, 4.0], [0.0, 1.0, 2.0]).interval.low)


def test_welch_equals_scipy_and_leaves_out_what_is_missing() -> None:
    first, second = [1.0, 2.5, 3.0, math.nan], [4.0, 4.5]
    p, interval = welch(first, second)
    expected = stats.ttest_ind(first[:3], second, equal_var=False)
    assert p == pytest.approx(expected.pvalue)
    bounds = expected.confidence_interval()
    assert (interval.low, interval.high) == pytest.approx((bounds.low, bounds.high))
    one = stats.ttest_1samp(first[:3], 4.0)  # of equal values on one side, a test of one sample
    assert welch(first, [4.0, 4.0])[0] == pytest.approx(one.pvalue)
    assert math.isnan(welch([1.0, 1.0], [2.0, 2.0])[0])
    assert math.isnan(welch([1.0], [2.0, 3.0])[0])


@given(st.lists(values, min_size=3, max_size=8), st.lists(values, min_size=3, max_size=8), st.floats(0.1, 50))
@settings(deadline=None)
def test_equivalence_without_pairs_is_two_one_sided_tests(
    first: list[float], second: list[float], margin: float
) -> None:
    assume(min(np.ptp(first), np.ptp(second)) > 1e-2)
    inside, outside = welch_equivalence(first, second, margin)

    def p_greater(shift: float, sign: int) -> float:
        shifted = sign * np.array(first) + shift
        return stats.ttest_ind(shifted, sign * np.array(second), equal_var=False, alternative="greater").pvalue

    assert inside == pytest.approx(max(p_greater(margin, 1), p_greater(margin, -1)), abs=1e-9)
    assert outside == pytest.approx(min(1, 2 * min(p_greater(-margin, 1), p_greater(-margin, -1))), abs=1e-9)


def test_missing_runs_leave_their_pairs_out() -> None:
    assert compare([1, np.nan, 3, 4], [0, 0, np.nan, 1]) == compare([1, 4], [0, 1])
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_differences([1, 2], [1, 2, 3])


def _binomial_bounds(trials: int, probability: float) -> tuple[float, float]:
    """Where the share of hits lies in all but one of 10,000 simulations."""
    low, high = stats.binom.interval(0.9999, trials, probability)
    return low / trials, high / trials


@pytest.mark.parametrize("pairs", [3, 5, 10])
@pytest.mark.parametrize("interval", [mean_interval, prediction_interval])
def test_intervals_cover_what_they_promise(pairs: int, interval: Callable) -> None:
    rng = np.random.default_rng(pairs)
    trials = 2000
    samples, new = rng.normal(0, 1, (trials, pairs)), rng.normal(0, 1, trials)
    hits = [
        (0.0 if interval is mean_interval else future) in interval(sample)
        for sample, future in zip(samples, new, strict=True)
    ]
    low, high = _binomial_bounds(trials, 0.95)
    assert low <= np.mean(hits) <= high


@pytest.mark.parametrize("pairs", [3, 5, 10])
def test_false_findings_are_as_rare_as_promised(pairs: int) -> None:
    rng = np.random.default_rng(100 + pairs)
    trials = 500
    seeds = rng.normal(0, 3, (trials, pairs))  # what the seed does to both variants cancels in the pairs
    found = [compare(seed + rng.normal(0, 1, pairs), seed + rng.normal(0, 1, pairs)) for seed in seeds]
    low, high = _binomial_bounds(trials, 0.05)
    assert low <= np.mean([comparison.p_t < 0.05 for comparison in found]) <= high
    # The exact test has steps of 2/2**n: it finds what its largest step below the level allows.
    nominal = math.floor(0.05 * 2 ** (pairs - 1)) / 2 ** (pairs - 1)
    low, high = _binomial_bounds(trials, nominal)
    assert low <= np.mean([comparison.p_sign_flip <= 0.05 for comparison in found]) <= high


@pytest.mark.parametrize("pairs", range(2, 11))
def test_the_sign_flip_test_equals_scipys(pairs: int) -> None:
    differences = np.random.default_rng(pairs).normal(0.5, 1, pairs)
    reference = stats.permutation_test(
        (differences, np.zeros(pairs)), lambda x, y: np.mean(x - y), permutation_type="samples", vectorized=False
    )
    assert sign_flip_test(differences) == pytest.approx(reference.pvalue)


@pytest.mark.parametrize("margin", [0.2, 0.5, 2.0])
def test_equivalence_equals_statsmodels(margin: float) -> None:
    differences = np.random.default_rng(5).normal(0.3, 0.5, 6)
    inside, outside = equivalence_test(differences, margin)
    p, (_, above, _), (_, below, _) = ttost_paired(differences, np.zeros(6), -margin, margin)
    assert inside == pytest.approx(p)
    assert outside == pytest.approx(min(1, 2 * min(1 - above, 1 - below)))


def test_equivalence_of_equal_differences_is_as_sure_as_their_number() -> None:
    assert equivalence_test([0, 0, 0, 0, 0], 0.01)[0] == 1 / 32
    assert equivalence_test([1, 1, 1], 0.01)[0] == 1
    assert math.isnan(equivalence_test([0.0], 0.01)[0])
