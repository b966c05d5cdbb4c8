"""Claims: how they are read and judged."""

import math
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import ttost_paired
from test_comparisons import BN, DROPOUT, PLAIN, study

from ablate.report.analysis.claims import read_claims
from ablate.report.analysis.verdicts import Judgement, Verdict, judge
from ablate.report.study.study import Cell, Study
from ablate.stats import Test, e_value

RUNS = study(plain=PLAIN, dropout=DROPOUT, bn=BN)


def claim(expect: Any, **others: Any) -> dict[str, Any]:
    return {"id": "c", "statement": "It is.", "expect": expect, "metric": "test_accuracy", **others}


def parts(expect: Any) -> list[tuple[str, str | float, int, float | None]]:
    (read,) = read_claims([claim(expect)], RUNS, ())
    return [(part.question.first, part.question.second, part.sign, part.question.margin) for part in read.parts]


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        ("plain > dropout", [("plain", "dropout", 1, None)]),
        ("dropout < plain", [("dropout", "plain", -1, None)]),
        ("bn > plain > dropout", [("bn", "plain", 1, None), ("plain", "dropout", 1, None), ("bn", "dropout", 1, None)]),
        ("0.7 > plain > 0.5", [("plain", 0.7, -1, None), ("plain", 0.5, 1, None)]),
        (["bn > plain", "dropout < bn"], [("bn", "plain", 1, None), ("dropout", "bn", -1, None)]),
        ("plain > 0.6", [("plain", 0.6, 1, None)]),
        ("60 % < plain", [("plain", 0.6, 1, None)]),
        ("bn = plain within 0.01", [("bn", "plain", 0, 0.01)]),
        ("bn = plain within 1 %", [("bn", "plain", 0, 0.01)]),
    ],
)
def test_what_can_be_expected(expect: Any, expected: Any) -> None:
    assert parts(expect) == expected


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("plain > dropout", r"claims\[0\]: a claim is a mapping"),
        (claim("plain > bn", expcet=1), r"claims\[0\]\.expcet: a claim has no such key; did you mean expect"),
        ({"id": "c", "expect": "plain > bn"}, r"claims\[0\]\.statement is not set"),
        (claim("plain > dropuot"), "claim c: there is no variant 'dropuot'; did you mean dropout"),
        (claim("plain > bn", metric="test_acuracy"), "no metric 'test_acuracy' in the runs; did you mean test_ac"),
        (claim("plain > bn < dropout"), "is none of"),
        (claim("plain"), "is none of"),
        (claim("plain > "), "is none of"),
        (claim("plain>bn"), "put spaces around the sign"),
        (claim("plain = bn"), "has no margin above 0; say `plain = … within 0.01`"),
        (claim("plain = bn within 0"), "has no margin above 0"),
        (claim("plain = bn within a bit"), "has no margin above 0"),
        (claim("plain > plain"), "compares nothing"),
        (claim("0.5 < 0.6"), "compares nothing"),
        (claim("plain > bn", published=[1]), "published must be a mapping"),
        (claim("plain > bn", published={"plain": "high"}), "published.plain=high: must be a number"),
        (claim("plain > bn", published={"nobody": 1}), "there is no variant 'nobody'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(raw: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_claims([raw], RUNS, ())


def test_two_claims_need_two_ids() -> None:
    with pytest.raises(ValueError, match="another claim has this id"):
        read_claims([claim("plain > bn"), claim("bn > plain")], RUNS, ())


def test_a_bound_of_a_time_is_above_zero() -> None:
    with pytest.raises(ValueError, match="a time is above 0"):
        read_claims([claim("plain > -1", metric="train_seconds")], study("train_seconds", plain=[1.0]), ())


def judged(expect: Any, runs: Study = RUNS, metric: str = "test_accuracy") -> Judgement:
    (read,) = read_claims([claim(expect, metric=metric)], runs, ["dropout_p10"])
    (found,) = judge([read], runs)
    return found


@pytest.mark.parametrize(
    ("expect", "verdict"),
    [
        ("plain > dropout", Verdict.SUPPORTED),
        ("dropout < plain", Verdict.SUPPORTED),
        ("dropout > plain", Verdict.REFUTED),
        ("bn > plain", Verdict.INCONCLUSIVE),
        ("bn > plain > dropout", Verdict.INCONCLUSIVE),
        (["bn > plain", "dropout > plain"], Verdict.REFUTED),
        ("plain > dropout_p10", Verdict.UNTESTED),
        (["plain > dropout_p10", "dropout > plain"], Verdict.REFUTED),
        (["plain > dropout_p10", "bn > plain"], Verdict.UNTESTED),
        ("plain > 0.5", Verdict.SUPPORTED),
        ("plain < 0.5", Verdict.REFUTED),
        ("bn = plain within 0.05", Verdict.SUPPORTED),
        ("bn = plain within 0.001", Verdict.INCONCLUSIVE),
        ("dropout = plain within 0.01", Verdict.REFUTED),
    ],
)
def test_verdicts(expect: Any, verdict: Verdict) -> None:
    assert judged(expect).verdict is verdict


def test_the_seeds_that_would_settle_it() -> None:
    found = judged("bn > plain")
    differences = np.subtract(BN, PLAIN)
    effect = differences.mean() / differences.std(ddof=1)
    assert found.seeds_needed is not None
    fewest, most = found.seeds_needed
    # The larger bound of an 80 % interval of the standardised mean needs the fewest seeds.
    largest = effect + stats.norm.ppf(0.9) * np.sqrt(1 / 4 + effect**2 / 8)
    power = TTestPower().power
    assert power(largest, fewest, 0.05) >= 0.8 > power(largest, fewest - 1, 0.05)
    assert most is None  # 0 is in the interval
    assert judged("plain > dropout").seeds_needed is None


def test_the_seeds_are_more_where_more_is_compared() -> None:
    read = read_claims([claim("bn > plain"), claim("plain > dropout", id="d")], RUNS, ())
    alone, (beside, _) = judged("bn > plain"), judge(read, RUNS)
    assert alone.seeds_needed is not None
    assert beside.seeds_needed is not None
    assert beside.seeds_needed[0] > alone.seeds_needed[0]


def test_an_equality_that_is_open_needs_more_seeds() -> None:
    needed = judged("bn = plain within 0.01").seeds_needed
    assert needed is not None
    assert needed[0] > 4


@pytest.mark.parametrize(
    ("runs", "missing"),
    [
        (study(plain=PLAIN), "there are no runs of dropout_p10"),
        (study(plain=PLAIN, dropout_p10=[0.1]), "plain and dropout_p10 need two seeds or more in common"),
    ],
)
def test_what_is_missing_is_said(runs: Study, missing: str) -> None:
    found = judged("plain > dropout_p10", runs)
    assert found.verdict is Verdict.UNTESTED
    assert found.findings[0].missing == missing


def test_times_of_other_machines_leave_a_claim_untested() -> None:
    runs = study("train_seconds", {"bn": ["there"] * 3}, plain=[1.0, 2.0, 3.0], bn=[2.0, 3.0, 5.0])
    found = judged("bn > plain", runs, "train_seconds")
    assert found.verdict is Verdict.UNTESTED
    assert "different machines" in found.findings[0].missing


def judged_all(runs: Study, *raw: dict[str, Any], test: Test = Test.FIXED) -> list[Judgement]:
    return judge(read_claims(list(raw), runs, ()), runs, test)


def test_a_difference_that_is_too_small_to_matter_is_equal() -> None:
    runs = study(a=[0.601, 0.6012, 0.5991, 0.6003, 0.5999], b=[0.6, 0.6005, 0.6, 0.6, 0.6005])
    (found,) = judged_all(runs, claim("a > b", margin=0.01))
    assert found.verdict is Verdict.EQUAL
    inside = ttost_paired(runs.values("a", "test_accuracy"), runs.values("b", "test_accuracy"), -0.01, 0.01)[0]
    assert found.findings[0].p == pytest.approx(inside)
    (open_yet,) = judged_all(runs, claim("a > b"))
    assert open_yet.verdict is Verdict.INCONCLUSIVE
    of_study = replace(runs, definition=replace(runs.definition, margin=0.01))
    assert judged_all(of_study, claim("a > b"))[0].verdict is Verdict.EQUAL
    # The margin of the study is of its metric.
    assert read_claims([claim("a > b")], of_study, ())[0].parts[0].question.margin == 0.01
    times = study("train_seconds", a=[1.0, 2.0], b=[2.0, 3.0])
    times = replace(times, definition=replace(times.definition, margin=0.01))
    assert read_claims([claim("a > b", metric="train_seconds")], times, ())[0].parts[0].question.margin is None


def test_a_larger_difference_than_the_margin_is_no_equality() -> None:
    assert judged_all(RUNS, claim("plain > dropout", margin=0.01))[0].verdict is Verdict.SUPPORTED
    assert judged_all(RUNS, claim("plain < dropout", margin=0.01))[0].verdict is Verdict.REFUTED


def test_equal_differences_are_as_sure_as_their_number() -> None:
    runs = study(a=[0.9, 0.8, 0.7], b=[0.8, 0.7, 0.6])
    (found,) = judged_all(runs, claim("a > b"))
    assert (found.verdict, found.p) == (Verdict.INCONCLUSIVE, 0.25)
    runs = study(a=[0.75, 1.0], b=[0.5, 0.75])
    assert judged_all(runs, claim("a = b within 0.1"))[0].verdict is Verdict.INCONCLUSIVE


@given(st.lists(st.tuples(*[st.floats(0, 1).map(lambda value: round(value, 2))] * 3), min_size=2, max_size=8))
@settings(deadline=None, max_examples=30)
def test_what_an_ordering_implies_is_supported_where_it_is(rows: list[tuple[float, float, float]]) -> None:
    runs = study(**{name: list(values) for name, values in zip("abc", zip(*rows, strict=True), strict=True)})
    for test in Test:
        whole, part = judged_all(runs, claim("a > c > b"), claim("a > b", id="d"), test=test)
        if whole.verdict is Verdict.SUPPORTED:
            assert part.verdict is Verdict.SUPPORTED


def test_equal_differences_in_an_ordering_are_coherent() -> None:
    runs = study(a=[0.62, 0.72, 0.82, 0.92], b=[0.6, 0.7, 0.8, 0.9], c=[0.611, 0.709, 0.812, 0.908])
    whole, part = judged_all(runs, claim("a > c > b"), claim("a > b", id="d"))
    assert whole.verdict is part.verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seeds", [2, 3])
def test_two_seeds_decide_nothing(seeds: int) -> None:
    runs = study(a=[0.9001, 0.9002, 0.9][:seeds], b=[0.5, 0.5, 0.5001][:seeds])
    support, refute, equal = judged_all(
        runs, claim("a > b"), claim("b > a", id="r"), claim("a = b within 0.45", id="e")
    )
    decided = [support.verdict, refute.verdict, equal.verdict]
    if seeds < 3:
        assert decided == [Verdict.INCONCLUSIVE] * 3
        assert support.findings[0].missing == "2 pairs decide nothing, it takes 3"
    else:
        assert decided == [Verdict.SUPPORTED, Verdict.REFUTED, Verdict.SUPPORTED]


def test_runs_without_a_number_leave_a_claim_untested() -> None:
    lost = [math.nan] * 3
    (found,) = judged_all(study(a=[0.9, 0.91, 0.92, *lost], b=[0.5, 0.52, 0.51, 0.5, 0.5, 0.5]), claim("a > b"))
    assert found.verdict is Verdict.UNTESTED
    assert found.findings[0].missing.startswith("runs of 3 seeds (3, 4, 5) gave no value")
    runs = study(a=[0.9, 0.91, 0.92, 0.93], b=[0.5, 0.52, 0.51])
    assert judged_all(runs, claim("a > b"))[0].verdict is Verdict.SUPPORTED  # a run that is missing yet is not lost
    diverged = replace(runs, unfinished={"b/seed3": Cell("b", 3, "diverged")})
    assert judged_all(diverged, claim("a > b"))[0].verdict is Verdict.UNTESTED


def test_support_takes_every_part_and_refutation_one() -> None:
    noise = np.random.default_rng(4).normal(0, 0.01, (4, 8))
    values = dict(zip("abcd", 0.5 + noise + [[0], [0.02], [0.04], [0.06]], strict=True))
    runs = study(**{name: list(each) for name, each in values.items()})
    found = judged_all(runs, claim("d > c > b > a"), claim("a > d", id="r"), claim("d > a", id="s"))
    whole = found[0]
    texts = [finding.part.text for finding in whole.findings]
    p = {text: stats.ttest_rel(values[text[0]], values[text[-1]]).pvalue for text in texts}
    assert whole.p == pytest.approx(max(p.values()))
    in_favour = [judged.p for judged in found]
    assert [judged.p_adjusted for judged in found] == pytest.approx(multipletests(in_favour, method="holm")[1])
    refuted = found[1].findings[0]
    # Adjusted over the six comparisons that the parts of all claims are.
    assert (found[1].verdict, refuted.p_adjusted) == (
        Verdict.REFUTED,
        pytest.approx(multipletests(list(p.values()), method="holm")[1][list(p).index("d > a")]),
    )


def test_parameters_that_vary_are_tested() -> None:
    varying = study("parameters", a=[100.0, 120.0, 90.0], b=[99.0, 130.0, 80.0])
    assert judged_all(varying, claim("a > b", metric="parameters"))[0].verdict is Verdict.INCONCLUSIVE
    constant = study("parameters", a=[100.0], b=[99.0])
    assert judged_all(constant, claim("a > b", metric="parameters"))[0].verdict is Verdict.SUPPORTED


@pytest.mark.parametrize(
    ("metric", "expect", "message"),
    [
        ("test_accuracy", "a > 60", "a share between 0 and 1, and 60 is not: a percentage? Write 60 % or 0.6"),
        ("test_accuracy", "a = b within 5", "Write 5 % or 0.05"),
        ("score", "a > 60 %", "has values from 54 to 57, which are no shares"),
        ("score", "a = b within 5 %", "write the number in their unit, without %"),
        ("train_seconds", "a = b within 5", "compared by their ratio: give the share, such as 0.05 or 5 %"),
    ],
)
def test_a_number_in_another_unit_than_the_values_is_refused(metric: str, expect: str, message: str) -> None:
    values = {"score": ([55.0, 54.0, 56.0], [55.0, 57.0, 54.0]), "train_seconds": ([5.0, 6.0], [5.0, 7.0])}
    a, b = values.get(metric, ([0.5, 0.6], [0.5, 0.7]))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_claims([claim(expect, metric=metric)], study(metric, a=a, b=b), ())


@pytest.mark.parametrize("margin", [0, -0.1, "much", True, "inf"])
def test_a_margin_is_a_number_above_0(margin: Any) -> None:
    with pytest.raises(ValueError, match=r"margin=.*must be a number above 0"):
        read_claims([claim("plain > bn", margin=margin)], RUNS, ())


def test_any_number_of_looks_takes_more() -> None:
    runs = study(a=[0.9, 0.91, 0.92], b=[0.5, 0.52, 0.51])
    once, anytime = (judged_all(runs, claim("a > b"), test=test)[0] for test in Test)
    assert once.verdict is Verdict.SUPPORTED
    assert anytime.verdict is Verdict.INCONCLUSIVE
    assert anytime.seeds_needed is not None and anytime.seeds_needed[0] == 4
    more = study(a=[0.9, 0.91, 0.92, 0.9, 0.91], b=[0.5, 0.52, 0.51, 0.51, 0.5])
    (found,) = judged_all(more, claim("a > b"), test=Test.ANYTIME)
    assert found.verdict is Verdict.SUPPORTED
    differences = more.values("a", "test_accuracy") - more.values("b", "test_accuracy")
    assert found.p == pytest.approx(1 / e_value(differences))
