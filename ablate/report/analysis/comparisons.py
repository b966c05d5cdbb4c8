"""Paired comparisons of variants, one family for each metric."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate import stats
from ablate.report.study.metrics import Metric, metric
from ablate.report.study.study import Study
from ablate.report.study.variants import Variant


@dataclass(frozen=True)
class Question:
    """What a test is about: the first variant against the second, or against a bound.

    With a margin, whether the two are equal within it (of a time: within that share).
    """

    metric: str
    first: str
    second: str | float
    margin: float | None = None


@dataclass(frozen=True)
class Answer:
    """A paired comparison and its tests.

    Attributes:
        question: What was asked.
        seeds: The seeds that count: those that both variants have, for times on comparable clocks.
        runs: The runs of each seed, the first variant's before the second's.
        differences: Shape (pairs,), first minus second; of times, the difference of their natural logarithms.
        comparison: What the differences say.
        p: The two-sided p-value of the paired t-test; with a margin, the one that speaks for equality.
        p_adjusted: After Holm's method over the metric's family.
        p_outside: With a margin, the adjusted p-value that speaks for a difference larger than it; else NaN.
        left_out: Why seeds that both variants have do not count; empty if all do.
        timing: The file of the timing that was preferred to the runs' clocks, whose rounds are then the pairs.
        family: The number of tests that `p_adjusted` is adjusted for, itself among them.
    """

    question: Question
    seeds: tuple[int, ...]
    runs: tuple[tuple[str, ...], ...]
    differences: NDArray[np.float64]
    comparison: stats.Comparison
    p: float
    p_adjusted: float
    p_outside: float
    left_out: str
    timing: str = ""
    family: int = 1

    @property
    def metric(self) -> Metric:
        """The metric compared."""
        return metric(self.question.metric)

    @property
    def pairs(self) -> str:
        """What the values are paired by."""
        return "round" if self.timing else "seed"


def families(study: Study, questions: Iterable[Question]) -> dict[Question, Answer]:
    """Answers questions, and adjusts the p-values of each metric's questions for being a family.

    Args:
        study: The runs.
        questions: What to test; a repeated one counts once, and so does one with its variants swapped.
    """
    answers: dict[Question, Answer] = {}
    for question in questions:
        if question not in answers and _swapped(question) not in answers:
            answers[question] = _answer(study, question)
    for name in dict.fromkeys(question.metric for question in answers):
        family = [question for question in answers if question.metric == name]
        p_values = [answers[question].p for question in family] + [answers[question].p_outside for question in family]
        adjusted, size = stats.holm(p_values), int(np.count_nonzero(~np.isnan(p_values)))
        for question, p, outside in zip(family, adjusted, adjusted[len(family) :], strict=False):
            answers[question] = replace(answers[question], p_adjusted=p, p_outside=outside, family=size)
    return answers


def to_baselines(study: Study, metrics: Iterable[str]) -> list[Question]:
    """Returns the questions that a study asks of itself: each variant against its baseline, for each metric."""
    pairs = [(label, base) for label in study.labels if (base := baseline_of(study, label)) not in (None, label)]
    return [Question(name, label, base) for name in metrics for label, base in pairs if base is not None]


def baseline_of(study: Study, label: str) -> str | None:
    """Returns the variant to compare another with: the baseline with the same settings, or else the baseline."""
    variants = study.variants
    baseline = variants.get(study.definition.baseline)
    if baseline is None:
        return None
    same = [
        other.label
        for other in variants.values()
        if other.model == baseline.model
        and other.edits == baseline.edits
        and other.settings == variants[label].settings
        and other.label in study.labels
    ]
    return same[0] if same else baseline.label if baseline.label in study.labels else None


def also_different(first: Variant, second: Variant) -> list[str]:
    """Returns the settings, beside the edits, in which two compared variants differ."""
    keys = dict.fromkeys([*first.settings, *second.settings])
    return [key for key in keys if first.settings.get(key) != second.settings.get(key)]


def find(answers: Mapping[Question, Answer], question: Question) -> Answer:
    """Returns the answer to a question, turned round if it was asked with the variants swapped."""
    if question in answers:
        return answers[question]
    answer = answers[_swapped(question)]
    return replace(
        answer,
        question=question,
        runs=tuple(pair[::-1] for pair in answer.runs),
        differences=-answer.differences,
        comparison=answer.comparison.reversed(),
    )


def _swapped(question: Question) -> Question:
    if isinstance(question.second, str):
        return replace(question, first=question.second, second=question.first)
    return question


def _answer(study: Study, question: Question) -> Answer:
    return timed(study, question) or _by_runs(study, question)


def timed(study: Study, question: Question) -> Answer | None:
    """Answers from the newest timing that has both variants, if there is one."""
    if not metric(question.metric).is_cost or not isinstance(question.second, str):
        return None
    for timing in study.timings:
        pair = timing.pair(question.first, question.second, question.metric)
        if pair is not None:
            first, second = np.log(pair)
            return _tested(question, (), (), first, second, "", timing.file)
    return None


def _by_runs(study: Study, question: Question) -> Answer:
    kind = metric(question.metric)
    sides = [question.first, question.second] if isinstance(question.second, str) else [question.first]
    runs = [_by_seed(study, label, question.metric) for label in sides]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs)))
    left_out = ""
    if kind.is_cost:
        apart = [
            seed
            for seed in seeds
            if len({by_seed[seed].clock for by_seed in runs}) > 1 or _are_shares(study, [runs[0][seed].run])
        ]
        if apart:
            of = [by_seed[seed].run for by_seed in runs for seed in apart]
            left_out = f"{_what(kind)} of {len(apart)} of {len(seeds)} seeds were {_why_apart(study, kind, of)}"
        seeds = [seed for seed in seeds if seed not in apart]
    values = np.array([[by_seed[seed].value for seed in seeds] for by_seed in runs], dtype=float)
    if not isinstance(question.second, str):
        values = np.vstack([values, np.full(len(seeds), question.second)])
    first, second = np.log(values) if kind.is_cost else values
    runs_of = tuple(tuple(by_seed[seed].run for by_seed in runs) for seed in seeds)
    return _tested(question, tuple(seeds), runs_of, first, second, left_out)


def _what(kind: Metric) -> str:
    return "the times" if kind.kind == "seconds" else f"the values of {kind.label}"


def _why_apart(study: Study, kind: Metric, runs: Iterable[str]) -> str:
    """Returns why the costs of runs cannot be compared."""
    if _are_shares(study, runs):
        alone = (
            "`ablate timing` measures times" if kind.kind == "seconds" else "hydra/launcher=basic trains one at a time"
        )
        return f"shares of cohorts, not of single runs; {alone}"
    return "taken on different machines, threads, precisions or versions of torch"


def _are_shares(study: Study, runs: Iterable[str]) -> bool:
    """Whether the times of a run among these are its share of a cohort's."""
    return any(run in study.records and study.records[run].cohort is not None for run in runs)


def _tested(
    question: Question,
    seeds: tuple[int, ...],
    runs: tuple[tuple[str, ...], ...],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    left_out: str,
    timing: str = "",
) -> Answer:
    differences = stats.paired_differences(first, second)
    comparison = stats.compare(first, second)
    p, p_outside = comparison.p_t, np.nan
    if question.margin is not None:
        margin = float(np.log1p(question.margin)) if metric(question.metric).is_cost else question.margin
        p, p_outside = stats.equivalence_test(differences, margin)
    return Answer(question, seeds, runs, differences, comparison, p, p, p_outside, left_out, timing)


class _Value(NamedTuple):
    run: str
    value: float
    clock: str


def _by_seed(study: Study, label: str, name: str) -> dict[int, _Value]:
    rows = study.of(label)
    found = zip(rows.index, rows["run"], rows[name], rows["clock"], strict=True)
    return {
        int(seed): _Value(str(run), float(value), str(clock)) for seed, run, value, clock in found if value == value
    }
