"""Paired differences."""

import math
from collections.abc import Iterator

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer, Question, also_different
from ablate.report.output import pictures, words
from ablate.report.output.document import Block, Cell, Table, Text, bounds, text
from ablate.report.output.sections.cells import difference, p_value, pairs, without_normality
from ablate.report.study.metrics import minus


def differences(analysis: Analysis) -> Iterator[Block]:
    """Yields each variant against its baseline, metric by metric."""
    if not any(analysis.questions.values()):
        label, labels = analysis.study.definition.baseline, analysis.study.labels
        said = f"There is nothing to compare: it takes runs of the baseline {label} and of another variant."
        if len(labels) > 1:
            said += f" The variants are {words.listed(labels)}; `ablate report --baseline` takes one of them."
        yield Text(said)
        return
    yield from pictures.paired_differences(analysis)
    for name, questions in analysis.questions.items():
        answers = [analysis.answers[question] for question in questions]
        sizes = [answer.family for answer in answers if not math.isnan(answer.p)]
        caption = f"Difference to the baseline in {analysis.study.metric(name).label}; the intervals are not adjusted"
        caption += f", the adjusted p is for {words.count(sizes[0], 'test')} of it in this report." if sizes else "."
        yield Table(f"differences_{name}", caption, [_row(answer) for answer in answers])
        yield from (Text(f"{_versus(answer.question)}: {answer.left_out}.") for answer in answers if answer.left_out)
    yield from _pairing(analysis)
    if analysis.by_class:
        yield _by_class(analysis)
    variants = analysis.study.variants
    for question in next(iter(analysis.questions.values())):
        others = also_different(variants[question.first], variants[str(question.second)])
        if others:
            yield Text(f"{_versus(question)} differ also in {words.listed(others)}: the edits alone do not explain it.")


def _pairing(analysis: Analysis) -> Iterator[Block]:
    """Yields what pairing by seed did, for the study's metric."""
    answers = [analysis.answers[question] for question in analysis.questions.get(analysis.metric, ())]
    rows = []
    for answer in answers:
        if answer.pairing is None or math.isnan(answer.pairing.correlation):
            continue
        found, interval = answer.pairing, answer.pairing.interval
        across = "–" if math.isnan(interval.low) else minus(f"{interval.low:.2f} to {interval.high:.2f}")
        rows.append(
            [
                text("comparison", _versus(answer.question)),
                pairs(answer),
                _plain("correlation over seeds", found.correlation),
                bounds(across),
                _plain("seeds that a pair is worth", found.gain),
                bounds(words.interval(answer.comparison.interval, answer.metric), "95 % interval, paired"),
                bounds(words.interval(answer.welch, answer.metric), "unpaired (Welch)"),
            ]
        )
    if rows:
        yield Table(
            "pairing",
            f"What pairing by seed did for {analysis.study.metric(analysis.metric).label}: so many unpaired seeds are "
            "worth one pair. Both intervals are for one look.",
            rows,
        )


def _by_class(analysis: Analysis) -> Table:
    rows: dict[str, list[Cell]] = {}
    for question in analysis.by_class:
        answer = analysis.answers[question]
        kind, evidence = answer.metric, answer.evidence
        shown = f"{kind.show_difference(evidence.mean)} ({words.interval(evidence.interval, kind)})"
        row = rows.setdefault(question.metric, [text("class", kind.of_class)])
        row.append(Cell(f"{question.first} − {question.second}", shown, evidence.mean, runs=answer.all_runs))
    caption = (
        "Difference to the baseline on the test images of each class, with its 95 % interval, which is not widened for "
        "the number of classes: of twenty without a difference, one does not hold 0."
    )
    return Table("by_class", caption, list(rows.values()))


def _row(answer: Answer) -> list[Cell]:
    comparison = answer.comparison
    return [
        text("comparison", _versus(answer.question)),
        pairs(answer),
        *difference("difference", answer.metric, answer.evidence, answer.all_runs),
        p_value("p", answer.p),
        p_value("adjusted p", answer.p_adjusted),
        without_normality(answer),
        Cell("higher in", f"{comparison.wins} of {comparison.pairs}", comparison.wins),
        _plain("superiority", comparison.superiority),
        _plain("standardised", comparison.standardised),
    ]


def _plain(head: str, value: float) -> Cell:
    return Cell(head, minus(f"{value:z.2f}") if math.isfinite(value) else "–", value)


def _versus(question: Question) -> str:
    return f"{question.first} against {question.second}"
