"""The anytime-valid test, against numerical integration, its own definition, and simulated looks."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from ablate.stats import (
    ALPHA,
    PRIOR_VARIANCE,
    anytime,
    confidence_sequence,
    e_value,
    fewest_to_decide,
    half_width,
    sign_flip_e_value,
)

differences = st.lists(st.floats(-100, 100).map(lambda value: round(value, 3)), min_size=2, max_size=30).map(np.array)


@pytest.mark.parametrize("n", [2, 3, 6, 20])
@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0])
def test_the_e_value_is_the_likelihood_ratio_of_the_t_statistic(n: int, shift: float) -> None:
    values = np.random.default_rng(n).normal(shift, 1, n)
    t = stats.ttest_1samp(values, 0).statistic

    def weighted(effect: float) -> float:
        prior = stats.norm.pdf(effect, scale=math.sqrt(PRIOR_VARIANCE))
        return float(stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * prior)

    marginal = integrate.quad(weighted, -8, 8, limit=200)[0]
    assert e_value(values) == pytest.approx(marginal / stats.t.pdf(t, n - 1), rel=1e-3)


def test_a_case_worked_by_hand() -> None:
    # d = 1, 3: mean 2, squares 2, u = 2 * 4 / 2 = 4, k = 9.
    assert e_value([1.0, 3.0]) == pytest.approx(9**-0.5 * 5 / (1 + 4 / 9))
    assert e_value([1.0]) == 1.0
    assert e_value([]) == 1.0
    assert e_value([0.0, 0.0]) == pytest.approx(1 / 3)
    assert e_value([2.0, 2.0, 2.0]) == pytest.approx(13.0)  # k to the power of (n - 1) / 2


@given(differences, st.sampled_from([0.0, 0.01, 1.0]))
def test_the_sequence_excludes_zero_exactly_where_the_e_value_decides(
    values: NDArray[np.float64], resolution: float
) -> None:
    found = anytime(values, resolution)
    if not math.isclose(found.e, 1 / ALPHA, rel_tol=1e-6):
        assert (found.e > 1 / ALPHA) == (0 not in found.interval)


@given(differences, st.randoms(), st.floats(0.01, 100))
def test_order_sign_and_scale_do_not_matter(values: NDArray[np.float64], random: object, scale: float) -> None:
    shuffled = np.array(sorted(values, key=lambda _: random.random()))  # type: ignore[attr-defined]
    assert e_value(shuffled) == pytest.approx(e_value(values), rel=1e-6)
    assert e_value(-scale * values) == pytest.approx(e_value(values), rel=1e-6)


@settings(deadline=None, max_examples=30)
@given(differences)
def test_the_sign_flip_e_value_averages_to_one_over_all_signs(values: NDArray[np.float64]) -> None:
    values = values[:8]
    signs = np.array(np.meshgrid(*[[-1, 1]] * len(values))).reshape(len(values), -1).T
    assert np.mean([sign_flip_e_value(sign * values) for sign in signs]) == pytest.approx(1)
    assert sign_flip_e_value(values) <= 2 ** len(values) / 2 + 1e-9


def test_the_sign_flip_e_value_needs_six() -> None:
    equal = [sign_flip_e_value([1.0] * n) for n in range(1, 8)]
    assert [value >= 20 for value in equal] == [False] * 5 + [True] * 2


def test_a_resolution_keeps_equal_differences_from_being_certain() -> None:
    assert e_value([0.01, 0.01, 0.01]) > e_value([0.01, 0.01, 0.01], resolution=0.01)
    assert e_value([0.01] * 3, resolution=0.01) == pytest.approx(e_value([0.02] * 3, resolution=0.02))


@pytest.mark.parametrize("family", [1, 2, 4, 8, 16, 40])
def test_equal_differences_of_one_image_decide_no_sooner_than_chance_allows(family: int) -> None:
    """Differences that are ±1 image by a toss of a coin are all equal after n seeds with probability 2 / 2**n."""
    decides = next(n for n in range(2, 60) if e_value([1.0] * n, resolution=1.0) >= family / ALPHA)
    assert family * 2 / 2**decides <= ALPHA


def test_rounding_is_not_spread() -> None:
    assert e_value(np.array([0.9, 0.8, 0.7]) - np.array([0.8, 0.7, 0.6])) == pytest.approx(e_value([1.0] * 3))


def test_the_half_width_is_the_sequences() -> None:
    values = np.random.default_rng(1).normal(size=9)
    interval = confidence_sequence(values)
    assert (interval.high - interval.low) / 2 == pytest.approx(half_width(9) * values.std(ddof=1))


def test_evidence_beyond_any_number() -> None:
    assert anytime([1.0] * 1000).p == 0


@pytest.mark.parametrize("family", [1, 2, 8, 16, 40])
def test_the_fewest_pairs_that_can_decide(family: int) -> None:
    fewest = fewest_to_decide(family)
    assert e_value([1.0] * fewest) >= family / ALPHA
    assert e_value([1.0] * (fewest - 1)) < family / ALPHA


def test_looking_after_every_seed_keeps_the_level() -> None:
    """Without a difference; the test for one look finds one in nearly a third of such studies."""
    studies = np.random.default_rng(0).normal(size=(1500, 40))
    number = np.arange(1, 41)
    mean = studies.cumsum(1) / number
    squares = np.maximum((studies**2).cumsum(1) - number * mean**2, 1e-300)
    t = np.abs(mean) * np.sqrt(number * np.maximum(number - 1, 1) / squares)
    critical = stats.t.ppf(1 - ALPHA / 2, np.maximum(number - 1, 1))
    once = (t > critical)[:, 2:].any(1)
    decided = [any(e_value(study[:n]) >= 1 / ALPHA for n in range(2, 41)) for study in studies[once]]
    assert once.mean() > 0.2
    assert np.sum(decided) / len(studies) <= ALPHA


def test_too_few_pairs_leave_the_sequence_unbounded() -> None:
    assert confidence_sequence([1.0]).high == math.inf
    assert confidence_sequence([1.0, 1.1, 0.9]).high == math.inf
    assert confidence_sequence([1.0, 1.1, 0.9, 1.0]).high < math.inf
    assert math.isfinite(anytime([1.0, math.nan, 1.1, 0.9, 1.0]).interval.low)
