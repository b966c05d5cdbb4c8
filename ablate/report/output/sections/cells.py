"""Cells that several tables have."""

from collections.abc import Sequence

from ablate.report.analysis.comparisons import Answer
from ablate.report.output import words
from ablate.report.output.document import Cell, bounds
from ablate.report.study.metrics import Metric
from ablate.stats import Evidence, Test


def measured(head: str, kind: Metric, value: float, runs: Sequence[str] = ()) -> Cell:
    """Returns a value of a metric."""
    return Cell(head, kind.show(value), value, runs=runs)


def difference(head: str, kind: Metric, evidence: Evidence, runs: Sequence[str] = ()) -> tuple[Cell, Cell]:
    """Returns a difference, or ratio of times, and its interval."""
    shown = words.interval(evidence.interval, kind) if evidence.pairs else "–"
    return Cell(head, kind.show_difference(evidence.mean), evidence.mean, runs=runs), bounds(shown)


def pairs(answer: Answer) -> Cell:
    """Returns how many seeds or rounds a comparison rests on."""
    return Cell("pairs", words.pairs(answer), answer.evidence.pairs)


def without_normality(answer: Answer) -> Cell:
    """Returns the p-value that takes nothing for granted but symmetry."""
    p = answer.p_without_normality
    is_sampled = answer.test is Test.FIXED and answer.comparison.is_sampled
    return Cell("without normality, p", words.p_value(p) + " (sampled)" * is_sampled, p)


def p_value(head: str, p: float) -> Cell:
    """Returns a p-value."""
    return Cell(head, words.p_value(p), p)
