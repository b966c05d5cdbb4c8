"""Which figures a report has, and the numbers in them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from ablate import stats
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.summary import PARTS, pareto_front
from ablate.report.analysis.summary import learning_curves as curves_of
from ablate.report.analysis.verdicts import Finding
from ablate.report.output import figures
from ablate.report.output.document import Picture
from ablate.report.output.words import count
from ablate.report.study.metrics import Metric, minus
from ablate.report.study.study import Study

_CURVES = ("test_accuracy", "test_loss", "train_loss")  # beside the study's metric and what it declares
_MOST_LOOKS = 12  # panels that still can be read


def learning_curves(analysis: Analysis) -> Iterator[Picture]:
    """Yields the learning curves, if there are epochs."""
    study = analysis.study
    named = [study.metric(name) for name in (analysis.metric, *study.definition.metrics, *_CURVES)]
    kinds = {kind.column: study.metric(kind.column) for kind in named if not kind.is_cost}
    panels = [
        figures.Curves(
            kind.title or kind.label,
            "share" if kind.kind == "share" else kind.unit or kind.quantity,
            curves_of(study, column),
            study.epochs[["run", "variant", "epoch", column]].rename(columns={column: "value"}),
        )
        for column, kind in kinds.items()
        if column in study.epochs
    ]
    if not panels:
        return
    first = next(kind for column, kind in kinds.items() if column in study.epochs)
    last = panels[0].means.groupby("variant", sort=False)["mean"].last()
    reached = ", ".join(f"{variant} {first.show(value)}" for variant, value in last.items())
    palette = figures.styles(study.labels)
    yield Picture(
        "learning_curves",
        "Learning curves: mean over seeds, band from the lowest to the highest seed, thin lines the seeds.",
        f"Learning curves of {', '.join(study.labels)}; {panels[0].title} at the end on average: {reached}.",
        lambda: figures.learning_curves(panels, palette),
    )


def paired_differences(analysis: Analysis) -> Iterator[Picture]:
    """Yields the differences to the baseline, if there are any."""
    panels, study = list[figures.Panel](), analysis.study
    for name, questions in analysis.questions.items():
        answers = [analysis.answers[question] for question in questions if analysis.answers[question].evidence.pairs]
        if answers:
            shown = [_of_answer(f"{answer.question.first} − {answer.question.second}", answer) for answer in answers]
            panels.append(_panel(study.metric(name), shown))
    if panels:
        yield Picture(
            "paired_differences",
            f"Paired differences to the baseline with {_intervals(analysis)}; of times, ratios.",
            f"Paired differences in {panels[0].title}: {_in_words(panels[0])}.",
            lambda: figures.intervals(panels),
        )


def claims(analysis: Analysis) -> Iterator[Picture]:
    """Yields the claims at a glance, and where seeds were added to settle them, how their intervals narrowed."""
    by_metric: dict[str, list[figures.Estimate]] = {}
    for judged in analysis.judgements:
        for found in _of_two(judged.findings):
            assert found.answer is not None
            estimate = replace(
                _of_answer(found.part.text, found.answer),
                published=_published(judged.claim.published, found),
                verdict=str(found.verdict),
            )
            rows = by_metric.setdefault(judged.claim.metric, [])
            if (estimate.name, estimate.verdict) not in [(row.name, row.verdict) for row in rows]:
                rows.append(estimate)  # else another claim says the same
    if not by_metric:
        return
    panels = [_panel(analysis.study.metric(name), rows) for name, rows in by_metric.items()]
    verdicts = "; ".join(f"{judged.claim.id} {judged.verdict}" for judged in analysis.judgements)
    yield Picture(
        "claims",
        f"Claims at a glance: the first minus the second (of times, their ratio) with {_intervals(analysis)}; diamonds "
        "are published.",
        f"Verdicts: {verdicts}.",
        lambda: figures.claims(panels),
    )
    if analysis.looks.test is stats.Test.ANYTIME:
        yield from _looks(analysis)


def _of_two(findings: Sequence[Finding]) -> list[Finding]:
    """Returns the findings on two variants that have pairs."""
    return [
        found
        for found in findings
        if found.answer is not None and found.answer.evidence.pairs and isinstance(found.part.question.second, str)
    ]


def _looks(analysis: Analysis) -> Iterator[Picture]:
    """Yields how the confidence sequence of each part narrowed, seed by seed."""
    found = {part.part.text: part for judged in analysis.judgements for part in _of_two(judged.findings)}
    answers = {text: part.answer for text, part in found.items() if part.answer is not None and not part.answer.timing}
    panels = [_narrowing(text, answer) for text, answer in answers.items() if answer.test is stats.Test.ANYTIME]
    if panels and len(panels) <= _MOST_LOOKS:
        yield Picture(
            "looks",
            "How sure it was after how many seeds: the mean difference and its 95 % confidence sequence, in the order "
            "of the seeds; dashed, the margin.",
            f"Confidence sequences over seeds of {', '.join(answers)}.",
            lambda: figures.narrowing(panels),
        )


def _narrowing(text: str, answer: Answer) -> figures.Narrowing:
    rows = []
    for number in range(1, len(answer.differences) + 1):
        so_far = answer.differences[:number]
        bounds = stats.confidence_sequence(so_far, answer.resolution)
        rows.append((number, float(so_far.mean()), bounds.low, bounds.high))
    frame = pd.DataFrame(rows, columns=["seeds", "mean", "low", "high"])
    if answer.metric.is_cost:
        frame[["mean", "low", "high"]] = np.exp(frame[["mean", "low", "high"]])
    return figures.Narrowing(text, _scale(answer.metric), frame, answer.question.margin)


def _published(published: Mapping[str, float], found: Finding) -> float:
    first = published.get(found.part.question.first)
    second = published.get(str(found.part.question.second))
    if first is None or second is None:
        return math.nan
    return first / second if found.answer is not None and found.answer.metric.is_cost else first - second


def effects(analysis: Analysis) -> Iterator[Picture]:
    """Yields the effects of factorials, if there are any."""
    panels = [
        figures.Panel(
            kind.label + ("" if found.factorial.is_only else f", {found.factorial.full}"),
            _scale(kind),
            [
                _estimate(" × ".join(each.factors), each.evidence.mean, each.evidence.interval, kind)
                for each in found.effects
            ],
        )
        for found, kind in ((each, analysis.study.metric(each.metric)) for each in analysis.factorials)
        if found.effects
    ]
    if panels:
        yield Picture(
            "effects",
            f"Main effects and interactions (×) with {_intervals(analysis)}; on times, ratios.",
            f"Effects on {panels[0].title}: {_in_words(panels[0])}.",
            lambda: figures.intervals(panels),
        )


def times(analysis: Analysis) -> Iterator[Picture]:
    """Yields the parts of a run's time, if they are known of runs that can be compared."""
    study = analysis.study
    names = [name for name in PARTS if name in study.metrics and name != "total_seconds"]
    runs = study.timed_alike
    if not names or runs.empty:
        return
    labels = [label for label in study.labels if label in set(runs["variant"])]
    parts = pd.DataFrame({PARTS[name]: runs.groupby("variant")[name].mean() for name in names}).loc[labels]
    totals = ", ".join(f"{variant} {seconds:.1f} s" for variant, seconds in parts.sum(axis=1).items())
    yield Picture(
        "times",
        f"Time of a run, split into its parts; mean over seeds.{_left_out(study)}",
        f"Mean time of a run: {totals}.",
        lambda: figures.times(parts),
    )


def accuracy_against_time(analysis: Analysis) -> Iterator[Picture]:
    """Yields what accuracy costs, if the times of runs can be compared."""
    study = analysis.study
    if "total_seconds" not in study.metrics or not study.metric(analysis.metric).higher_is_better:
        return
    runs = study.timed_alike[["variant", "total_seconds", analysis.metric]].dropna()
    if runs.empty:
        return
    runs = runs.rename(columns={"total_seconds": "cost", analysis.metric: "value"})
    kind = study.metric(analysis.metric)
    label = kind.label + f", {kind.unit}" * bool(kind.own_unit)
    front = pareto_front(runs.groupby("variant", sort=False).mean().reset_index())
    palette = figures.styles(study.labels)
    yield Picture(
        "accuracy_against_time",
        "Accuracy against time: a small point a run, a large one a variant's mean; dotted, the means that no "
        f"other beats in both.{_left_out(study)}",
        f"{label} against total time; no other is both faster and better than {', '.join(front['variant'])}.",
        lambda: figures.accuracy_against_time(runs, front, label, _scale(kind), palette),
    )


def _intervals(analysis: Analysis) -> str:
    return "95 % confidence sequences" if analysis.looks.test is stats.Test.ANYTIME else "95 % intervals"


def _left_out(study: Study) -> str:
    """Returns how many runs are in no figure of times, and why."""
    left = len(study.runs) - len(study.timed_alike)
    why = "their times are shares of a cohort's, or of another machine, device, precision or version of torch"
    return f" Left out, {count(left, 'run')}: {why}." if left else ""


def _of_answer(name: str, answer: Answer) -> figures.Estimate:
    return _estimate(name, answer.evidence.mean, answer.evidence.interval, answer.metric)


def _estimate(name: str, mean: float, interval: stats.Interval, kind: Metric) -> figures.Estimate:
    bounds = (interval.low, interval.high) if math.isfinite(interval.low) else (math.nan, math.nan)
    mean, low, high = (math.exp(value) if kind.is_cost else value for value in (mean, *bounds))
    return figures.Estimate(name, mean, low, high)


def _panel(kind: Metric, shown: Sequence[figures.Estimate]) -> figures.Panel:
    return figures.Panel(kind.label, _scale(kind), shown)


def _scale(kind: Metric) -> str:
    return "ratio" if kind.is_cost else "share" if kind.kind == "share" else "number"


def _in_words(panel: figures.Panel) -> str:
    """Returns the rows of a panel in words, for those who do not see it."""
    shown = {"ratio": "× {:.3f}", "share": "{:+z.2%}", "number": "{:+z.4g}"}[panel.scale]
    return "; ".join(f"{estimate.name} {minus(shown.format(estimate.mean))}" for estimate in panel.estimates)
