"""Comparisons of variants: the evidence on a question, and families of questions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ablate import stats
from ablate.report.study.metrics import Metric
from ablate.report.study.study import Study
from ablate.report.study.variants import Variant


@dataclass(frozen=True)
class Question:
    """What a test is about: the first variant against the second, or against a bound.

    With a margin, also whether the two are equal within it (of a time: within that share), or only that. Over several
    data sets, the two are names of rows, and `over` has the variants of each data set.
    """

    metric: str
    first: str
    second: str | float
    margin: float | None = None
    is_equality: bool = False
    over: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Answer:
    """A comparison and its tests.

    Attributes:
        question: What was asked.
        metric: Of what.
        seeds: The seeds that count: those that both variants have, for times on comparable clocks.
        runs: The runs of each seed, the first variant's before the second's.
        differences: Shape (pairs,), first minus second; of times, the difference of their natural logarithms.
        comparison: What the differences say if they are looked at once.
        evidence: What they say by the test that decides.
        test: That test.
        pairing: What pairing by seed did; None against a bound.
        welch: The 95 % interval that knows no pairs; NaN against a bound.
        p_adjusted: The evidence's p-value after Holm's method over its family.
        family: The number of tests that it is adjusted for, itself among them.
        left_out: Why seeds that both variants have do not count; empty if all do.
        lost: Seeds of which a run gave no number: it diverged, or is imported or complete without a value.
        timing: The file of the timing that was preferred to the runs' clocks, whose rounds are then the pairs.
        is_exact: Whether it is no matter of chance: the same in all runs of a variant.
        resolution: The step in which the metric's values come; 0 where that is not known.
    """

    question: Question
    metric: Metric
    seeds: tuple[int, ...]
    runs: tuple[tuple[str, ...], ...]
    differences: NDArray[np.float64]
    comparison: stats.Comparison
    evidence: stats.Evidence
    test: stats.Test
    pairing: stats.Pairing | None
    welch: stats.Interval
    p_adjusted: float
    family: int = 1
    left_out: str = ""
    lost: tuple[int, ...] = ()
    timing: str = ""
    is_exact: bool = False
    resolution: float = 0.0

    @property
    def all_runs(self) -> list[str]:
        """The runs, pair by pair."""
        return [run for pair in self.runs for run in pair]

    @property
    def pairs(self) -> str:
        """What the values are paired by."""
        return "round" if self.timing else "data set" if self.question.over else "seed"

    @property
    def p(self) -> float:
        """The two-sided p-value of the test that decides."""
        return self.evidence.p

    @property
    def p_without_normality(self) -> float:
        """The p-value of the same kind of looking that takes nothing for granted but symmetry: of sign flips."""
        if self.test is stats.Test.FIXED:
            return self.comparison.p_sign_flip
        return min(1.0, 1 / stats.sign_flip_e_value(self.differences)) if len(self.differences) else np.nan

    @property
    def margin(self) -> float | None:
        """The question's margin, in the unit of the differences."""
        margin = self.question.margin
        return float(np.log1p(margin)) if margin is not None and self.metric.is_cost else margin

    def reversed(self) -> "Answer":
        """Returns the answer to the same question with the variants swapped."""
        return replace(
            self,
            question=swapped(self.question),
            runs=tuple(pair[::-1] for pair in self.runs),
            differences=-self.differences,
            comparison=self.comparison.reversed(),
            evidence=self.evidence.reversed(),
            welch=stats.Interval(-self.welch.high, -self.welch.low),
        )


def answers(study: Study, questions: Iterable[Question], test: stats.Test = stats.Test.FIXED) -> dict[Question, Answer]:
    """Answers questions, each as if it were the only one.

    Args:
        study: The runs.
        questions: What to test; a repeated one counts once, and so does one with its variants swapped.
        test: The test that decides between runs; timings, whose rounds are all of one plan, are always one look.
    """
    found: dict[Question, Answer] = {}
    for question in questions:
        if question not in found and swapped(question) not in found:
            by_one = _over_data_sets if question.over else _by_runs
            found[question] = timed(study, question) or by_one(study, question, test)
    return found


def families(
    study: Study, questions: Iterable[Question], test: stats.Test = stats.Test.FIXED
) -> dict[Question, Answer]:
    """Answers questions, and adjusts the p-values of each metric's questions for being a family."""
    found = answers(study, questions, test)
    for name in dict.fromkeys(question.metric for question in found):
        family = [question for question in found if question.metric == name]
        adjusted, size = stats.adjust([found[question].p for question in family])
        for question, p in zip(family, adjusted, strict=True):
            found[question] = replace(found[question], p_adjusted=p, family=size)
    return found


def to_baselines(study: Study, metrics: Iterable[str]) -> list[Question]:
    """Returns the questions that a study asks of itself: each variant against its baseline, for each metric."""
    pairs = [(label, base) for label in study.labels if (base := baseline_of(study, label)) not in (None, label)]
    return [Question(name, label, base) for name in metrics for label, base in pairs if base is not None]


def baseline_of(study: Study, label: str) -> str | None:
    """Returns the variant to compare another with: the baseline with the same settings, or else the baseline.

    None if there is none on the same data set: what differs in these says nothing of the variants.
    """
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
        and other.label != label  # with other settings, the baseline's model is compared with the baseline
    ]
    if not same and baseline.label in study.labels and baseline.data == variants[label].data:
        return baseline.label
    return same[0] if same else None


def also_different(first: Variant, second: Variant) -> list[str]:
    """Returns the settings, beside edits and components, in which two compared variants differ."""
    keys = dict.fromkeys([*first.beside, *second.beside])
    return [key for key in keys if first.beside.get(key) != second.beside.get(key)]


def find(answers: Mapping[Question, Answer], question: Question) -> Answer:
    """Returns the answer to a question, turned round if it was asked with the variants swapped."""
    return answers[question] if question in answers else answers[swapped(question)].reversed()


def swapped(question: Question) -> Question:
    """Returns a question with its variants swapped; one against a bound as it is."""
    if isinstance(question.second, str):
        turned = tuple((other, one) for one, other in question.over)
        return replace(question, first=question.second, second=question.first, over=turned)
    return question


def timed(study: Study, question: Question) -> Answer | None:
    """Answers from the newest timing that has both variants, if there is one."""
    kind = study.metric(question.metric)
    if not kind.is_cost or not isinstance(question.second, str):
        return None
    for timing in study.timings:
        pair = timing.pair(question.first, question.second, question.metric)
        if pair is not None:
            first, second = np.log(pair)
            return replace(_answer(question, kind, first, second, stats.Test.FIXED), timing=timing.file)
    return None


def _by_runs(study: Study, question: Question, test: stats.Test) -> Answer:
    kind = study.metric(question.metric)
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
    values = [np.array([by_seed[seed].value for seed in seeds], dtype=float) for by_seed in runs]
    is_exact = kind.is_exact and all(len(set(side)) == 1 for side in values)
    if not isinstance(question.second, str):
        values.append(np.full(len(seeds), question.second))
    first, second = np.log(values) if kind.is_cost else values
    apart_values = None
    if study.definition.pairing == "unpaired" and len(runs) == 2 and not kind.is_cost:
        apart_values = [np.array([each.value for each in by_seed.values()], dtype=float) for by_seed in runs]
    return replace(
        _answer(question, kind, first, second, test, resolution(study, kind), apart_values),
        seeds=tuple(seeds),
        runs=tuple(tuple(by_seed[seed].run for by_seed in runs) for seed in seeds),
        left_out=left_out,
        lost=lost(study, sides, question.metric),
        is_exact=is_exact,
    )


def _over_data_sets(study: Study, question: Question, test: stats.Test) -> Answer:
    """Returns what the data sets say together, each of which counts once."""
    asked = [replace(question, first=one, second=other, over=()) for one, other in question.over]
    each = [timed(study, one) or _by_runs(study, one, test) for one in asked]
    pooled, why_not = averaged(study, each)
    means = np.array([answer.evidence.mean for answer in each])
    answer = _answer(question, study.metric(question.metric), means, np.zeros_like(means), stats.Test.FIXED)
    evidence = stats.weigh([])
    if pooled.number:
        margin = answer.margin
        within = (np.nan, np.nan)
        if margin is not None and pooled.number > 1:
            above, below = pooled.p_against(-margin), 1 - pooled.p_against(margin)
            within = max(above, below), min(1.0, 2 * min(1 - above, 1 - below))
        evidence = stats.Evidence(pooled.number, pooled.mean, pooled.interval, pooled.p, *within)
    return replace(
        answer, evidence=evidence, p_adjusted=evidence.p, left_out=why_not,
        runs=tuple(pair for of in each for pair in of.runs),
        lost=tuple(sorted({seed for of in each for seed in of.lost})),
    )  # fmt: skip


def averaged(study: Study, each: Sequence[Answer]) -> tuple[stats.Pooled, str]:
    """Returns the random-effects mean of the differences on several data sets; or that of none, and why."""
    nothing = stats.Pooled()
    if any(answer.test is stats.Test.ANYTIME for answer in each):
        return nothing, "seeds were added after results were seen, and the mean over data sets is for one look"
    if study.definition.pairing == "unpaired":
        return nothing, "the mean over data sets is one of paired differences, and the runs are not paired"
    spread = [answer.differences.std(ddof=1) if len(answer.differences) > 1 else 0.0 for answer in each]
    if len(each) < 2 or not all(value > 0 for value in spread):
        why = "a mean over data sets takes two or more of them, and on each two seeds or more whose differences differ"
        return nothing, why
    variances = [value**2 / len(answer.differences) for value, answer in zip(spread, each, strict=True)]
    return stats.random_effects([answer.evidence.mean for answer in each], variances), ""


def lost(study: Study, sides: Iterable[str], name: str) -> tuple[int, ...]:
    """Returns the seeds of which a run gave no number, which may not be lost by chance."""
    ended = {"diverged"}
    if any(record.imported is not None for record in study.records.values()):
        ended.add("failed")  # where there is nobody to repeat it
    lost = {cell.seed for cell in study.unfinished.values() if cell.variant in sides and cell.status in ended}
    for label in sides:
        values = study.of(label)[name]
        lost |= {int(seed) for seed in values.index[values.isna()]}
    return tuple(sorted(lost))


def resolution(study: Study, kind: Metric) -> float:
    """Returns the step in which a metric's values come, if it is a share of images; 0 where that is not known."""
    if kind.kind != "share" or not kind.split:
        return 0.0
    images = {record.data.images.get(kind.split, 0) for record in study.records.values() if record.data is not None}
    return 1 / min(images) if images and min(images) > 0 else 0.0


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


def _answer(
    question: Question,
    kind: Metric,
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    test: stats.Test,
    resolution: float = 0.0,
    unpaired: Sequence[NDArray[np.float64]] | None = None,
) -> Answer:
    """Returns the answer that values of paired runs give, or for one look those of runs that are no pairs."""
    answer = Answer(
        question=question,
        metric=kind,
        seeds=(),
        runs=(),
        differences=stats.paired_differences(first, second),
        comparison=stats.compare(first, second),
        evidence=stats.weigh([]),
        test=test,
        pairing=stats.pairing(first, second) if isinstance(question.second, str) else None,
        welch=stats.welch(first, second if isinstance(question.second, str) else [])[1],
        p_adjusted=np.nan,
        resolution=resolution,
    )
    if unpaired is not None and test is stats.Test.FIXED:
        one, other = unpaired
        evidence = stats.weigh_unpaired(one, other, answer.margin)
    else:
        evidence = stats.weigh(answer.differences, test, answer.margin, resolution)
    return replace(answer, evidence=evidence, p_adjusted=evidence.p)


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
