"""Claims: how they are read and judged."""

from typing import Any

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower
from test_comparisons import BN, DROPOUT, PLAIN, study

from ablate.report.analysis.claims import read_claims
from ablate.report.analysis.comparisons import families
from ablate.report.analysis.verdicts import Judgement, Verdict, judge
from ablate.report.study.study import Study

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
        ("bn > plain > dropout", [("bn", "plain", 1, None), ("plain", "dropout", 1, None)]),
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
    known = [part.question for part in read.parts if {part.question.first, part.question.second} <= set(runs.labels)]
    known += [part.question for part in read.parts if isinstance(part.question.second, float)]
    return judge(read, runs, families(runs, known))


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
    needed = found.seeds_needed
    assert needed is not None
    power = TTestPower().power
    assert power(effect, needed, 0.05) >= 0.8 > power(effect, needed - 1, 0.05)
    assert judged("plain > dropout").seeds_needed is None


def test_the_seeds_are_more_where_more_is_compared() -> None:
    alone, beside = judged("bn > plain"), judged(["bn > plain", "plain > dropout"])
    assert alone.seeds_needed is not None
    assert beside.seeds_needed is not None
    assert beside.seeds_needed > alone.seeds_needed


def test_an_equality_that_is_open_needs_more_seeds() -> None:
    needed = judged("bn = plain within 0.01").seeds_needed
    assert needed is not None
    assert needed > 4


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
