"""Effects against statsmodels and a case worked by hand; what is recognised as a factorial."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols

from ablate.config.edits import Edit
from ablate.report.analysis.effects import contributions, effects, factorials, shares
from ablate.report.study.variants import Variant
from ablate.stats import Test, e_value


def variant(label: str, *edits: str, settings: dict[str, str] | None = None, remove: bool = False) -> Variant:
    made = {
        name: Edit(remove=name) if remove else Edit(insert="after", at=name, layer={"_target_": "x.Layer"})
        for name in edits
    }
    return Variant(label, label, made, settings or {}, parts=made, beside=settings or {})


def by_label(*variants: Variant) -> dict[str, Variant]:
    return {one.label: one for one in variants}


SQUARE = by_label(variant("plain"), variant("a", "a"), variant("b", "b"), variant("both", "a", "b"))


@pytest.mark.parametrize(("factors", "seeds"), [(2, 3), (2, 2), (3, 4)])
def test_effects_are_those_of_a_linear_model_tested_by_one_contrast_a_seed(factors: int, seeds: int) -> None:
    names = "abc"[:factors]
    cells = [cell for size in range(factors + 1) for cell in itertools.combinations(names, size)]
    values = np.random.default_rng(0).normal(0, 1, (seeds, len(cells))) + np.arange(seeds)[:, None]
    codes = pd.DataFrame([{name: 0.5 if name in cell else -0.5 for name in names} for cell in cells])
    of_seeds = [ols(f"y ~ {' * '.join(names)}", codes.assign(y=row)).fit().params for row in values]
    for effect in effects(values, tuple(names)):
        # A product of k codes of one half has steps of half that size each; the estimate is for steps of one.
        contrasts = [params[":".join(effect.factors)] for params in of_seeds]
        expected = stats.ttest_1samp(contrasts, 0)
        assert effect.evidence.mean == pytest.approx(expected.statistic * stats.sem(contrasts))
        assert effect.evidence.p == pytest.approx(expected.pvalue)
        bounds = expected.confidence_interval()
        assert (effect.evidence.interval.low, effect.evidence.interval.high) == pytest.approx((bounds.low, bounds.high))


def test_an_effect_that_varies_with_the_seed_is_not_found_too_often() -> None:
    """An error pooled over the cells finds one where there is none on average, in a sixth of studies."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(1000):
        of_seed = rng.normal(0, 1, (4, 1))  # what factor a does in a seed, on average nothing
        values = rng.normal(0, 0.5, (4, 4)) + of_seed * np.array([0, 1, 0, 1])
        found += effects(values, ("a", "b"))[0].evidence.p < 0.05
    assert stats.binomtest(found, 1000, 0.05).pvalue > 0.001


def test_a_square_by_hand() -> None:
    # Neither, a, b, both: a adds 2 without b and 4 with it, b adds 1 without a and 3 with it.
    square = [[10, 12, 11, 15], [20, 22, 21, 25]]
    found = {effect.factors: effect.evidence for effect in effects(square, ("a", "b"))}
    assert found["a",].mean == 3
    assert found["b",].mean == 2
    assert found["a", "b"].mean == 2
    assert found["a",].p == 0.5  # the two seeds agree entirely: as sure as their number
    assert [share.evidence.mean for share in shares(square, ("a", "b"))] == [3, 2]


def test_one_seed_has_no_interval() -> None:
    (first, *_) = effects([[1.0, 2.0, 3.0, 5.0]], ("a", "b"))
    assert first.evidence.mean == pytest.approx(1.5)
    assert math.isnan(first.evidence.interval.low)
    assert math.isnan(first.evidence.p)


@pytest.mark.parametrize("factors", ["ab", "abc", "abcd"])
def test_shares_are_the_mean_over_all_orders_and_sum_to_the_whole(factors: str) -> None:
    cells = [cell for size in range(len(factors) + 1) for cell in itertools.combinations(factors, size)]
    values = np.random.default_rng(1).normal(0, 1, (3, len(cells)))
    place = {cell: number for number, cell in enumerate(cells)}
    found = {share.factors[0]: share.evidence for share in shares(values, tuple(factors))}
    for factor in factors:
        added = []
        for order in itertools.permutations(factors):
            before = tuple(sorted(order[: order.index(factor)]))
            added.append(values[:, place[tuple(sorted((*before, factor)))]] - values[:, place[before]])
        expected = stats.ttest_1samp(np.mean(added, axis=0), 0)
        assert found[factor].mean == pytest.approx(np.mean(added))
        assert found[factor].p == pytest.approx(expected.pvalue)
    assert sum(each.mean for each in found.values()) == pytest.approx((values[:, -1] - values[:, 0]).mean())


def test_effects_at_any_number_of_looks() -> None:
    values = np.random.default_rng(2).normal(0, 1, (6, 4)) + np.array([0, 3, 0, 3])
    once, anytime = (effects(values, ("a", "b"), test)[0].evidence for test in Test)
    assert once.mean == anytime.mean
    assert anytime.interval.low < once.interval.low
    assert anytime.p == pytest.approx(1 / e_value(values @ np.array([-0.5, 0.5, -0.5, 0.5])))


def test_a_complete_square_is_recognised() -> None:
    (found,) = factorials(SQUARE)
    assert found.factors == ("a", "b")
    assert found.cells == {(): "plain", ("a",): "a", ("b",): "b", ("a", "b"): "both"}
    assert found.missing == []


def test_a_missing_cell_is_named() -> None:
    (found,) = factorials({label: one for label, one in SQUARE.items() if label != "b"})
    assert found.missing == [("b",)]
    assert found.full == "both"


def test_what_is_no_factorial() -> None:
    assert factorials(by_label(variant("plain"), variant("a", "a"), variant("b", "b"))) == []
    assert factorials(by_label(variant("plain"), variant("both", "a", "b"))) == []
    assert factorials({}) == []


def test_a_square_within_a_cube_is_left_out() -> None:
    cube = [
        variant("".join(names) or "plain", *names) for size in range(4) for names in itertools.combinations("abc", size)
    ]
    (found,) = factorials(by_label(*cube))
    assert len(found.cells) == 8


def test_two_factorials_of_the_same_names_are_told_apart() -> None:
    other = Edit(insert="before", at="b", layer={"_target_": "x.Layer"})
    element = Variant("element", "element", {"b": other}, {}, parts={"b": other})
    edits = {**SQUARE["a"].edits, "b": other}
    both = Variant("both_element", "both_element", edits, {}, parts=edits)
    found = factorials({**SQUARE, "element": element, "both_element": both})
    assert [factorial.factors for factorial in found] == [("a", "b")] * 2
    assert len({factorial.key for factorial in found}) == len({factorial.name for factorial in found}) == 2
    assert {factorial.name for factorial in found} == {"a and b (of both)", "a and b (of both_element)"}
    assert [factorial.key for factorial in factorials(SQUARE)] == ["a_b"]


def test_variants_of_other_settings_are_not_mixed() -> None:
    other = variant("b", "b", settings={"optimizer.lr": "0.1"})
    assert factorials({**SQUARE, "b": other})[0].missing == [("b",)]


def test_what_parts_add_and_what_is_lost_without_them() -> None:
    a, b = contributions(SQUARE)
    assert (a.part, a.added, a.left_out) == ("a", ("a", "plain"), ("both", "b"))
    assert (b.part, b.added, b.left_out) == ("b", ("b", "plain"), ("both", "a"))


def test_where_layers_are_removed_the_unchanged_model_is_the_full_one() -> None:
    removed = by_label(
        variant("full"),
        variant("without_a", "a", remove=True),
        variant("without_b", "b", remove=True),
        variant("without_c", "c", remove=True),
    )
    found = contributions(removed)
    assert [(part.part, part.added, part.left_out) for part in found] == [
        (name, None, ("full", f"without_{name}")) for name in "abc"
    ]


def test_one_part_contributes_nothing_that_a_difference_does_not_say() -> None:
    assert contributions(by_label(variant("plain"), variant("a", "a"))) == []
    assert contributions({}) == []
