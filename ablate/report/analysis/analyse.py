"""All that a report says of a study, computed."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ablate.records.epochs import COSTS
from ablate.report.analysis import claims, comparability, comparisons, effects
from ablate.report.analysis.ablation import AblationTable, ablation_tables
from ablate.report.analysis.comparisons import Answer, Question
from ablate.report.analysis.completeness import completeness
from ablate.report.analysis.data_sets import OverDataSets, over_data_sets
from ablate.report.analysis.effects import Effect
from ablate.report.analysis.looks import Looks, looks
from ablate.report.analysis.verdicts import Judgement, judge
from ablate.report.study.metrics import Metric, check_metric
from ablate.report.study.study import Cell, Study
from ablate.stats import Test, holm

# Compared with the baseline beside the study's own metric, where the runs have them.
_COMPARED = ("test_loss", "train_seconds", "total_seconds", *COSTS)
_EFFECTS_ON = ("train_seconds",)


@dataclass(frozen=True)
class FactorialEffects:
    """The effects of a factorial on a metric.

    Attributes:
        factorial: The factorial.
        metric: The metric.
        pairs: The seeds that all its cells have, or the rounds of the timing that was preferred to the runs' clocks.
        timing: That timing's file; empty without one.
        effects: Main effects and interactions; of a time, on natural logarithms. Empty if a cell is missing.
        adjusted: Their p-values after Holm's method.
        shares: Of what all factors do together, the share of each; likewise.
        left_out: Why there are none, if so.
    """

    factorial: effects.Factorial
    metric: str
    pairs: tuple[int, ...]
    timing: str
    effects: tuple[Effect, ...]
    adjusted: tuple[float, ...]
    left_out: str
    shares: tuple[Effect, ...] = ()


@dataclass(frozen=True)
class Analysis:
    """A study and what follows from it.

    Attributes:
        study: The study.
        metric: The study's metric.
        looks: Which test decides, and why.
        questions: The comparisons with the baseline, by metric, in the order they are shown.
        answers: What is explored beside the claims: the comparisons with the baseline, of classes and contributions.
        judgements: The claims with their verdicts, a family of their own.
        factorials: The effects of each factorial on the study's metric and on the training time.
        contributions: Of each part of the full model.
        by_class: The comparisons with the baseline on the images of each class, where that was measured.
        over_data: The comparisons with the baseline over several data sets, where the runs are of such.
        tables: For a paper.
        cells: The runs that the study should have, each with its status.
        mismatches: What does not agree between runs, first what touches a comparison.
        touched: In what the runs of a pair differ that its comparison rests on, each with the comparisons.
    """

    study: Study
    metric: str
    looks: Looks
    questions: Mapping[str, Sequence[Question]]
    answers: Mapping[Question, Answer]
    judgements: Sequence[Judgement]
    factorials: Sequence[FactorialEffects]
    contributions: Sequence[effects.Contribution]
    by_class: Sequence[Question]
    over_data: Sequence[OverDataSets]
    tables: Sequence[AblationTable]
    cells: Sequence[Cell]
    mismatches: Sequence[str]
    touched: Mapping[str, Sequence[str]]


def analyse(study: Study, metrics: Iterable[str] = ()) -> Analysis:
    """Compares the variants of a study and judges its claims.

    Args:
        study: The study.
        metrics: What to compare with the baseline; if empty, the study's metric, the test loss and times.

    Raises:
        ValueError: The study's metric, baseline or a claim names what is not there.
    """
    main = check_metric(study.definition.metric, study.metrics, "study.metric")
    compared = list(dict.fromkeys(metrics)) or [main, *_beside(study, main)]
    questions = {name: comparisons.to_baselines(study, [name]) for name in compared}
    by_class = comparisons.to_baselines(study, [kind.name for kind in _of_test(study) if _is_accuracy_of_class(kind)])
    read = claims.read_claims(study.definition.claims, study, study.models)
    with_runs = {label: study.variants[label] for label in study.labels}
    start = None if study.definition.design is None else study.definition.baseline
    parts = effects.contributions(with_runs, start)
    asked = [
        *itertools.chain.from_iterable(questions.values()),
        *by_class,
        *(Question(main, *pair) for part in parts for pair in (part.added, part.left_out) if pair is not None),
    ]
    found = looks(study.definition, study.records.values())
    answers = comparisons.families(study, asked, found.test)
    judgements = judge(read, study, found.test)
    on = [main, *(name for name in _EFFECTS_ON if name in study.metrics and name != main)]
    of_claims = [each.answer for judged in judgements for each in judged.findings if each.answer is not None]
    touched = comparability.touched(study.records, [*answers.values(), *of_claims])
    cells = completeness(study)
    return Analysis(
        study=study,
        metric=main,
        looks=found,
        questions=questions,
        answers=answers,
        judgements=judgements,
        factorials=[
            _effects(study, factorial, name, found.test) for factorial in effects.factorials(with_runs) for name in on
        ],
        contributions=parts,
        by_class=by_class,
        over_data=over_data_sets(study, compared, answers, found.test),
        tables=ablation_tables(study, _shown(study, main, questions), answers, found.test, all(map(_is_there, cells))),
        cells=cells,
        mismatches=sorted(
            comparability.mismatches(study.records), key=lambda text: not any(fact in text for fact in touched)
        ),
        touched=touched,
    )


def _beside(study: Study, main: str) -> list[str]:
    """Returns what is compared beside the study's metric: loss, costs, what was declared, what else is of tests.

    Single classes and pairs of them have tables of their own.
    """
    known = [name for name in _COMPARED if name in study.metrics]
    further = [kind.name for kind in _of_test(study) if not kind.of_class and kind.quantity not in ("loss", "accuracy")]
    declared = [name for name in study.definition.metrics if name in study.metrics]
    return [name for name in dict.fromkeys([*known, *further, *declared]) if name != main]


def _of_test(study: Study) -> list[Metric]:
    return [kind for kind in map(study.metric, study.metrics) if kind.is_of_test]


def _shown(study: Study, main: str, compared: Iterable[str]) -> list[str]:
    """Returns the metrics of a table that names none: the study's, and what is compared but for costs and losses."""
    further = [kind.name for kind in map(study.metric, compared) if not kind.is_cost and kind.quantity != "loss"]
    return list(dict.fromkeys([main, *further]))


def _is_there(cell: Cell) -> bool:
    return cell.status in ("complete", "stale")


def _is_accuracy_of_class(kind: Metric) -> bool:
    return kind.quantity == "accuracy" and bool(kind.of_class)


def _effects(study: Study, factorial: effects.Factorial, name: str, test: Test) -> FactorialEffects:
    def without(why: str) -> FactorialEffects:
        return FactorialEffects(factorial, name, (), "", (), (), why)

    labels = [label for label in factorial.cells.values() if label is not None]
    if factorial.missing:
        return without("not all combinations have runs")
    kind = study.metric(name)
    timing, pairs, values = _timed_cells(study, labels, name) or ("", *_cells(study, labels, name))
    if not pairs:
        return without("its cells have no seed in common" + (" with comparable times" if kind.is_cost else ""))
    if kind.is_cost:
        values = np.log(values)
    how = (Test.FIXED, 0.0) if timing else (test, comparisons.resolution(study, kind))
    estimated = effects.effects(values, factorial.factors, *how)
    adjusted = holm([effect.evidence.p for effect in estimated])
    return FactorialEffects(
        factorial, name, tuple(pairs), timing, tuple(estimated), tuple(adjusted), "",
        shares=tuple(effects.shares(values, factorial.factors, *how)),
    )  # fmt: skip


def _cells(study: Study, labels: Sequence[str], name: str) -> tuple[list[int], NDArray[np.float64]]:
    """Returns the seeds that variants have in common, and their values, shape (seeds, variants)."""
    cells = [study.of(label) for label in labels]
    seeds = sorted(set.intersection(*(set(map(int, cell[name].dropna().index)) for cell in cells)))
    if study.metric(name).is_cost:
        seeds = [seed for seed in seeds if len({cell.loc[seed, "clock"] for cell in cells}) == 1]
    return seeds, np.array([cell.loc[seeds, name].to_numpy(dtype=float) for cell in cells]).T


def _timed_cells(study: Study, labels: Sequence[str], name: str) -> tuple[str, list[int], NDArray[np.float64]] | None:
    """Returns the newest timing that has all variants: its file, its rounds, and times of shape (rounds, variants)."""
    for timing in study.timings:
        if all(name in timing.seconds.get(label, {}) for label in labels):
            values = np.array([timing.seconds[label][name] for label in labels]).T
            return timing.file, list(range(len(values))), values
    return None
