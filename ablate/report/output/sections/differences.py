"""Paired differences."""

import math
from collections.abc import Iterator, Mapping, Sequence

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer, Question, also_different
from ablate.report.output import words
from ablate.report.output.document import Block, Cell, Picture, Table, Text, bounds, number, text
from ablate.report.study.metrics import metric, minus


def differences(analysis: Analysis, drawn: Mapping[str, Picture]) -> Iterator[Block]:
    """Yields each variant against its baseline, metric by metric."""
    if not any(analysis.questions.values()):
        label = analysis.study.definition.baseline
        yield Text(f"There is nothing to compare: it takes runs of the baseline {label} and of another variant.")
        return
    if "paired_differences" in drawn:
        yield drawn["paired_differences"]
    for name, questions in analysis.questions.items():
        answers = [analysis.answers[question] for question in questions]
        sizes = [answer.family for answer in answers if not math.isnan(answer.p)]
        caption = f"Difference to the baseline in {metric(name).label}; the intervals are not adjusted"
        caption += f", the adjusted p is for {words.count(sizes[0], 'test')} of it in this report." if sizes else "."
        yield _comparisons(f"differences_{name}", caption, answers)
        yield from (Text(f"{_versus(answer.question)}: {answer.left_out}.") for answer in answers if answer.left_out)
    if analysis.by_class:
        yield _by_class(analysis)
    variants = analysis.study.variants
    for question in next(iter(analysis.questions.values())):
        others = also_different(variants[question.first], variants[str(question.second)])
        if others:
            yield Text(f"{_versus(question)} differ also in {words.listed(others)}: the edits alone do not explain it.")


def _by_class(analysis: Analysis) -> Table:
    classes = list(dict.fromkeys(question.metric for question in analysis.by_class))
    pairs = list(dict.fromkeys((question.first, question.second) for question in analysis.by_class))
    by_cell = {
        (question.metric, question.first, question.second): analysis.answers[question] for question in analysis.by_class
    }
    rows = []
    for name in classes:
        row = [Cell(metric(name).of_class)]
        for pair in pairs:
            comparison = by_cell[name, *pair].comparison
            shown = metric(name).show_difference(comparison.mean)
            row.append(Cell(f"{shown} ({words.interval(comparison.interval, metric(name))})", comparison.mean))
        rows.append(row)
    caption = (
        "Difference to the baseline on the test images of each class, with its 95 % interval, which is not widened for "
        "the number of classes: of twenty without a difference, one does not hold 0."
    )
    columns = [text("class"), *(number(f"{first} − {second}") for first, second in pairs)]
    return Table("by_class", caption, columns, rows)


def _comparisons(name: str, caption: str, answers: Sequence[Answer]) -> Table:
    rows = []
    for answer in answers:
        comparison = answer.comparison
        rows.append(
            [
                Cell(_versus(answer.question)),
                Cell(words.pairs(answer), comparison.pairs),
                Cell(answer.metric.show_difference(comparison.mean), comparison.mean),
                Cell(words.interval(comparison.interval, answer.metric)),
                Cell(words.p_value(answer.p), answer.p),
                Cell(words.p_value(answer.p_adjusted), answer.p_adjusted),
                Cell(words.p_value(comparison.p_sign_flip), comparison.p_sign_flip),
                Cell(words.p_value(comparison.p_smallest), comparison.p_smallest),
                Cell(f"{comparison.wins} of {comparison.pairs}", comparison.wins),
                Cell(_shown(comparison.superiority), comparison.superiority),
                Cell(_shown(comparison.standardised), comparison.standardised),
            ]
        )
    columns = [text("comparison"), number("pairs"), number("difference"), bounds()]
    heads = ("p", "adjusted p", "exact p", "smallest exact p", "higher in", "superiority", "standardised")
    return Table(name, caption, [*columns, *map(number, heads)], rows)


def _shown(value: float) -> str:
    return minus(f"{value:z.2f}") if math.isfinite(value) else "–"


def _versus(question: Question) -> str:
    return f"{question.first} against {question.second}"
