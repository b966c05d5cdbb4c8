"""Evidence: the same shape whichever test decides."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ablate.stats import (
    Test,
    anytime,
    anytime_equivalence,
    compare,
    confidence_sequence,
    equivalence_test,
    weigh,
    weigh_unpaired,
    welch,
)

differences = st.lists(st.floats(-5, 5).map(lambda value: round(value, 2)), min_size=4, max_size=12).map(np.array)


@settings(deadline=None)
@given(differences)
def test_evidence_is_that_of_the_test_that_decides(values: NDArray[np.float64]) -> None:
    once, always = weigh(values, margin=1.0), weigh(values, Test.ANYTIME, margin=1.0, resolution=0.1)
    comparison, found = compare(values, np.zeros(len(values))), anytime(values, 0.1)
    assert once.p == comparison.p_t and once.mean == always.mean == pytest.approx(comparison.mean, abs=1e-9)
    assert (once.p_inside, once.p_outside) == equivalence_test(values, 1.0)
    assert (always.p, always.interval) == (found.p, found.interval)
    assert (always.p_inside, always.p_outside) == anytime_equivalence(values, 1.0, 0.1)


@settings(deadline=None)
@given(differences, st.floats(0.05, 4), st.sampled_from([0.2, 0.05, 0.01]))
def test_the_sequence_lies_inside_a_margin_exactly_where_equality_is_found(
    values: NDArray[np.float64], margin: float, alpha: float
) -> None:
    inside, outside = anytime_equivalence(values, margin, resolution=0.01)
    interval = confidence_sequence(values, 0.01, alpha)
    assume(all(abs(p / alpha - 1) > 1e-6 for p in (inside, outside)))
    assert (inside < alpha) == (-margin < interval.low and interval.high < margin)
    assert (outside < alpha) == (interval.low > margin or interval.high < -margin)


def test_evidence_turned_round() -> None:
    values = np.array([0.5, 1.0, 1.5, 2.0])
    for test in Test:
        one, turned = weigh(values, test, margin=1.0).reversed(), weigh(-values, test, margin=1.0)
        assert (one.mean, one.p, one.p_inside, one.p_outside) == (
            turned.mean, turned.p, turned.p_inside, turned.p_outside,
        )  # fmt: skip
        assert (one.interval.low, one.interval.high) == pytest.approx((turned.interval.low, turned.interval.high))


def test_too_few_say_nothing() -> None:
    for test in Test:
        assert math.isnan(weigh([1.0], test, margin=1.0).p) and math.isnan(weigh([1.0], test, margin=1.0).p_inside)
        assert math.isnan(weigh([], test).mean)


def test_runs_that_are_no_pairs_count_all() -> None:
    found = weigh_unpaired([1.0, 2.0, 4.0, math.nan], [0.0, 0.5])
    assert found.pairs == 2 and found.mean == pytest.approx(7 / 3 - 0.25)
    assert (found.p, found.interval) == welch([1.0, 2.0, 4.0], [0.0, 0.5])
    assert math.isnan(weigh_unpaired([], [1.0, 2.0]).mean)
