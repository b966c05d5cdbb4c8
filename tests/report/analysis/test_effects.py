"""Effects against statsmodels and a case worked by hand; what is recognised as a factorial."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from statsmodels.formula.api import ols

from ablate.config.edits import Edit
from ablate.report.analysis.effects import contributions, effects, factorials
from ablate.report.study.variants import Variant


def variant(label: str, *edits: str, settings: dict[str, str] | None = None, remove: bool = False) -> Variant:
    made = {
        name: Edit(remove=name) if remove else Edit(insert="after", at=name, layer={"_target_": "x.Layer"})
        for name in edits
    }
    return Variant(label, label, made, settings or {})


def by_label(*variants: Variant) -> dict[str, Variant]:
    return {one.label: one for one in variants}


SQUARE = by_label(variant("plain"), variant("a", "a"), variant("b", "b"), variant("both", "a", "b"))


@pytest.mark.parametrize(("factors", "seeds"), [(2, 3), (2, 2), (3, 4)])
def test_effects_equal_those_of_a_linear_model_with_the_seed_as_block(factors: int, seeds: int) -> None:
    names = "abc"[:factors]
    cells = [cell for size in range(factors + 1) for cell in itertools.combinations(names, size)]
    values = np.random.default_rng(0).normal(0, 1, (seeds, len(cells))) + np.arange(seeds)[:, None]
    table = pd.DataFrame(
        [
            {"y": values[seed, place], "seed": seed, **{name: 0.5 if name in cell else -0.5 for name in names}}
            for seed in range(seeds)
            for place, cell in enumerate(cells)
        ]
    )
    model = ols(f"y ~ {' * '.join(names)} + C(seed)", table).fit()
    for effect in effects(values, tuple(names)):
        term = ":".join(effect.factors)
        # A product of k codes of one half has steps of half that size each; the estimate is for steps of one.
        assert effect.estimate == pytest.approx(model.params[term])
        assert effect.p == pytest.approx(model.pvalues[term])
        assert (effect.interval.low, effect.interval.high) == pytest.approx(tuple(model.conf_int().loc[term]))


def test_a_square_by_hand() -> None:
    # Neither, a, b, both: a adds 2 without b and 4 with it, b adds 1 without a and 3 with it.
    found = {effect.factors: effect for effect in effects([[10, 12, 11, 15], [20, 22, 21, 25]], ("a", "b"))}
    assert found["a",].estimate == 3
    assert found["b",].estimate == 2
    assert found["a", "b"].estimate == 2
    assert math.isnan(found["a",].p)  # the two seeds agree entirely: there is no error to go by


def test_one_seed_has_no_interval() -> None:
    (first, *_) = effects([[1.0, 2.0, 3.0, 5.0]], ("a", "b"))
    assert first.estimate == pytest.approx(1.5)
    assert math.isnan(first.interval.low)
    assert math.isnan(first.p)


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
    element, both = (Variant(name, name, {"b": other}, {}) for name in ("element", "both_element"))
    both = Variant(both.label, both.model, {**SQUARE["a"].edits, "b": other}, {})
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
