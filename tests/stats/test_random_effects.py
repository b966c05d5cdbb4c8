"""The mean over data sets, against statsmodels, metafor's figures, and a case by hand."""

import math

import numpy as np
import pytest
from scipy.stats import t
from statsmodels.stats.meta_analysis import combine_effects

from ablate.stats import random_effects

# The thirteen trials of a vaccine against tuberculosis (Colditz et al., JAMA 271, 1994): logarithms of risk ratios.
BCG = (
    [-0.8893, -1.5854, -1.3481, -1.4416, -0.2175, -0.7861, -1.6209, 0.0120, -0.4694, -1.3713, -0.3394, 0.4459, -0.0173],
    [0.3256, 0.1946, 0.4154, 0.0200, 0.0512, 0.0069, 0.2230, 0.0040, 0.0564, 0.0730, 0.0124, 0.5325, 0.0714],
)


@pytest.mark.parametrize("seed", range(5))
def test_as_statsmodels_has_it(seed: int) -> None:
    generator = np.random.default_rng(seed)
    number = int(generator.integers(3, 9))
    variances = generator.uniform(0.01, 0.05, number)
    means = generator.normal(0.1, 0.3, number) + generator.normal(0, np.sqrt(variances))
    found, expected = random_effects(means, variances), combine_effects(means, variances, method_re="iterated")
    assert found.deviation**2 == pytest.approx(expected.tau2, abs=1e-4)
    assert found.mean == pytest.approx(expected.mean_effect_re, abs=1e-4)
    if expected.tau2 > 0:  # else theirs is narrowed by the agreement of the data sets
        assert found.error == pytest.approx(expected.sd_eff_w_re_hksj, rel=1e-3)


def test_as_metafor_has_it() -> None:
    """`rma(yi, vi, method="PM")` prints tau^2 0.3181 of these."""
    assert random_effects(*BCG).deviation ** 2 == pytest.approx(0.3181, abs=5e-4)


def test_data_sets_known_equally_well_by_hand() -> None:
    """The mean is then the plain one, and its error that of a t-test over the data sets."""
    means = np.array([1.0, 2.0, 6.0])
    found = random_effects(means, [0.5] * 3)
    assert found.mean == pytest.approx(3) and found.error == pytest.approx(means.std(ddof=1) / math.sqrt(3))
    assert found.deviation**2 == pytest.approx(means.var(ddof=1) - 0.5)
    half = t.ppf(0.975, 2) * found.error
    assert (found.interval.low, found.interval.high) == pytest.approx((3 - half, 3 + half))
    new = t.ppf(0.975, 1) * math.sqrt(found.error**2 + found.deviation**2)
    assert (found.prediction.low, found.prediction.high) == pytest.approx((3 - new, 3 + new))
    assert found.p_against(0) == pytest.approx(found.p / 2) and found.p_against(3) == pytest.approx(0.5)


def test_data_sets_that_agree_do_not_narrow_the_interval() -> None:
    found = random_effects([1.0, 1.0, 1.0], [0.3, 0.3, 0.3])
    assert found.deviation == 0 and found.error == pytest.approx(math.sqrt(0.1))


def test_few_data_sets_say_little() -> None:
    one, two = random_effects([1.0], [0.1]), random_effects([1.0, 2.0], [0.1, 0.1])
    assert math.isnan(one.p) and math.isnan(one.interval.low) and one.mean == 1
    assert not math.isnan(two.p) and math.isnan(two.prediction.low)


def test_intervals_hold_as_often_as_they_say() -> None:
    generator = np.random.default_rng(0)
    inside = new = 0
    for _ in range(500):
        variances = generator.uniform(0.5, 2.0, 6)
        true = generator.normal(1.0, 1.0, 7)
        found = random_effects(true[:6] + generator.normal(0, np.sqrt(variances)), variances)
        inside += found.interval.low <= 1.0 <= found.interval.high
        new += found.prediction.low <= true[6] <= found.prediction.high
    assert 0.92 < inside / 500 < 0.99 and 0.90 < new / 500 < 0.99
