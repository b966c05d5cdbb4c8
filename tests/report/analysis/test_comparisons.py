"""Paired comparisons of a study's variants."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_paired

from ablate.config.edits import Edit
from ablate.report.analysis.comparisons import Question, also_different, baseline_of, families, find, to_baselines
from ablate.report.output.words import evidence
from ablate.report.study.definition import Definition
from ablate.report.study.study import Study
from ablate.report.study.variants import Variant

PLAIN = [0.60, 0.62, 0.61, 0.64]
DROPOUT = [0.50, 0.53, 0.50, 0.56]
BN = [0.61, 0.62, 0.63, 0.63]


def study(metric: str = "test_accuracy", clocks: dict[str, list[str]] | None = None, **values: list[float]) -> Study:
    rows = [
        {
            "run": f"{variant}/seed{seed}",
            "variant": variant,
            "seed": seed,
            "clock": (clocks or {}).get(variant, ["here"] * len(numbers))[seed],
            metric: number,
        }
        for variant, numbers in values.items()
        for seed, number in enumerate(numbers)
    ]
    variants = {name: Variant(name, name, {}, {}) for name in values}
    return Study(Definition("s"), pd.DataFrame(rows), pd.DataFrame(), variants)


def test_variants_are_compared_over_the_seeds_they_share() -> None:
    question = Question("test_accuracy", "dropout", "plain")
    answer = families(study(plain=PLAIN, dropout=DROPOUT[:3]), [question])[question]
    assert answer.seeds == (0, 1, 2)
    assert answer.runs[1] == ("dropout/seed1", "plain/seed1")
    assert answer.p == pytest.approx(stats.ttest_rel(DROPOUT[:3], PLAIN[:3]).pvalue)


def test_a_run_without_the_metric_leaves_its_seed_out() -> None:
    question = Question("test_accuracy", "dropout", "plain")
    answer = families(study(plain=[*PLAIN[:3], math.nan], dropout=DROPOUT), [question])[question]
    assert answer.seeds == (0, 1, 2)


def test_times_are_compared_as_ratios() -> None:
    one, other = [12.0, 11.0, 13.0], [6.0, 5.0, 7.0]
    question = Question("train_seconds", "bn", "plain")
    answer = families(study("train_seconds", plain=other, bn=one), [question])[question]
    assert np.exp(answer.comparison.mean) == pytest.approx(stats.gmean(np.divide(one, other)))
    assert answer.p == pytest.approx(stats.ttest_rel(np.log(one), np.log(other)).pvalue)


def test_times_of_other_machines_are_left_out_and_said_to_be() -> None:
    runs = study("train_seconds", {"bn": ["here", "there", "here"]}, plain=[1.0, 2.0, 3.0], bn=[2.0, 3.0, 5.0])
    question = Question("train_seconds", "bn", "plain")
    answer = families(runs, [question])[question]
    assert answer.seeds == (0, 2)
    assert answer.left_out.startswith("the times of 1 of 3 seeds were taken on different machines")


def test_p_values_are_adjusted_within_their_metric() -> None:
    questions = [
        Question("test_accuracy", "dropout", "plain"),
        Question("test_accuracy", "bn", "plain"),
        Question("test_accuracy", "bn", "dropout"),
    ]
    answers = families(study(plain=PLAIN, dropout=DROPOUT, bn=BN), questions)
    adjusted = multipletests([answers[question].p for question in questions], method="holm")[1]
    assert [answers[question].p_adjusted for question in questions] == pytest.approx(list(adjusted))


def test_a_question_counts_once_whichever_way_it_is_asked() -> None:
    one, other = Question("test_accuracy", "dropout", "plain"), Question("test_accuracy", "plain", "dropout")
    answers = families(study(plain=PLAIN, dropout=DROPOUT), [one, other, one])
    assert list(answers) == [one]
    turned = find(answers, other)
    assert turned.comparison.mean == -answers[one].comparison.mean
    assert turned.comparison.interval.low == -answers[one].comparison.interval.high
    assert (turned.comparison.wins, turned.comparison.superiority) == (4, 1)
    assert turned.runs[0] == ("plain/seed0", "dropout/seed0")
    assert turned.p_adjusted == answers[one].p_adjusted


def test_a_bound_is_a_test_of_one_variant() -> None:
    question = Question("test_accuracy", "plain", 0.6)
    answer = families(study(plain=PLAIN), [question])[question]
    assert answer.p == pytest.approx(stats.ttest_1samp(PLAIN, 0.6).pvalue)
    seconds = Question("train_seconds", "plain", 5.0)
    answer = families(study("train_seconds", plain=[6.0, 7.0, 8.0]), [seconds])[seconds]
    assert answer.p == pytest.approx(stats.ttest_1samp(np.log([6, 7, 8]), np.log(5)).pvalue)


@pytest.mark.parametrize("margin", [0.005, 0.02])
def test_equality_within_a_margin_is_tested_by_two_one_sided_tests(margin: float) -> None:
    question = Question("test_accuracy", "bn", "plain", margin)
    answer = families(study(plain=PLAIN, bn=BN), [question])[question]
    expected = ttost_paired(np.array(BN), np.array(PLAIN), -margin, margin)[0]
    assert answer.evidence.p_inside == pytest.approx(expected)


def test_equality_of_times_is_within_a_share() -> None:
    plain, bn = [10.0, 11.0, 12.0], [10.1, 10.9, 12.2]
    question = Question("train_seconds", "bn", "plain", 0.05)
    answer = families(study("train_seconds", plain=plain, bn=bn), [question])[question]
    expected = ttost_paired(np.log(bn), np.log(plain), -np.log(1.05), np.log(1.05))[0]
    assert answer.evidence.p_inside == pytest.approx(expected)


def settings(**by_label: dict[str, Any]) -> Study:
    runs = pd.DataFrame([{"run": name, "variant": name, "seed": 0, "clock": "", "m": 1.0} for name in by_label])
    variants = {
        name: Variant(name, given["model"], given.get("edits", {}), lr := {"optimizer.lr": given["lr"]}, beside=lr)
        for name, given in by_label.items()
    }
    return Study(Definition("s"), runs, pd.DataFrame(), variants)


def test_the_baseline_has_the_same_settings_where_there_is_one() -> None:
    runs = settings(
        plain={"model": "plain", "lr": "1"},
        plain_2={"model": "plain", "lr": "2"},
        bn={"model": "bn", "lr": "1", "edits": {"bn1": Edit(freeze="c1")}},
        bn_2={"model": "bn", "lr": "2", "edits": {"bn1": Edit(freeze="c1")}},
        bn_3={"model": "bn", "lr": "3", "edits": {"bn1": Edit(freeze="c1")}},
    )
    assert {label: baseline_of(runs, label) for label in runs.labels} == {
        "plain": "plain",
        "plain_2": "plain",
        "bn": "plain",
        "bn_2": "plain_2",
        "bn_3": "plain",
    }
    assert [question.first for question in to_baselines(runs, ["m"])] == ["plain_2", "bn", "bn_2", "bn_3"]
    assert also_different(runs.variants["bn_3"], runs.variants["plain"]) == ["optimizer.lr"]
    assert also_different(runs.variants["bn"], runs.variants["plain"]) == []


def test_without_a_baseline_there_is_nothing_to_ask() -> None:
    assert to_baselines(settings(bn={"model": "bn", "lr": "1"}), ["m"]) == []


@pytest.mark.parametrize("others", [1, 2, 5])
def test_both_p_values_and_the_family_are_said(others: int) -> None:
    values = {f"v{number}": [value + number / 100 for value in DROPOUT] for number in range(others)}
    trial = study(plain=PLAIN, **values)
    questions = [Question("test_accuracy", name, "plain") for name in values]
    answer = families(trial, questions)[questions[0]]
    alone = stats.ttest_rel(DROPOUT, PLAIN).pvalue
    assert (answer.family, answer.p) == (others, pytest.approx(alone))
    text = evidence(answer)
    assert f"p = {alone:.3f}" in text or "p < 0.001" in text
    assert (f"adjusted for {others} tests" in text) == (others > 1)


def test_what_has_no_p_value_is_not_of_the_family() -> None:
    trial = study(plain=PLAIN, dropout=DROPOUT, one=[0.5])
    questions = [Question("test_accuracy", name, "plain") for name in ("dropout", "one")]
    assert {answer.family for answer in families(trial, questions).values()} == {1}
