"""Which figures a report has, and the numbers in them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer
from ablate.report.analysis.summary import PARTS, learning_curves, pareto_front
from ablate.report.analysis.verdicts import Finding
from ablate.report.output import figures
from ablate.report.output.document import Picture
from ablate.report.output.words import count
from ablate.report.study.metrics import Metric, metric, minus
from ablate.report.study.study import Study
from ablate.stats import Interval

Draw = Callable[[], Figure]
_CURVES = {"test_accuracy": "test accuracy", "test_loss": "test loss", "train_loss": "training loss"}


def pictures(analysis: Analysis) -> dict[Picture, Draw]:
    """Returns the figures that the runs give rise to, each with the function that draws it."""
    makers = (_claims, _curves, _differences, _effects, _times, _cost)
    return {made[0]: made[1] for maker in makers if (made := maker(analysis)) is not None}


def _curves(analysis: Analysis) -> tuple[Picture, Draw] | None:
    study = analysis.study
    shown = {column: title for column, title in _CURVES.items() if column in study.epochs}
    if not shown:
        return None
    curves = {title: learning_curves(study, column) for column, title in shown.items()}
    runs = {
        title: study.epochs[["run", "variant", "epoch", column]].rename(columns={column: "value"})
        for column, title in shown.items()
    }
    last = curves[next(iter(curves))].groupby("variant", sort=False)["mean"].last()
    reached = ", ".join(f"{variant} {metric(next(iter(shown))).show(value)}" for variant, value in last.items())
    picture = Picture(
        "learning_curves",
        "Learning curves: mean over seeds, band from the lowest to the highest seed, thin lines the seeds.",
        f"Learning curves of {', '.join(study.labels)}; {next(iter(curves))} at the end on average: {reached}.",
    )
    palette = figures.styles(study.labels)
    return picture, lambda: figures.learning_curves(curves, runs, palette)


def _differences(analysis: Analysis) -> tuple[Picture, Draw] | None:
    panels = []
    for name, questions in analysis.questions.items():
        answers = [analysis.answers[question] for question in questions if analysis.answers[question].comparison.pairs]
        estimates = [_of_answer(f"{answer.question.first} − {answer.question.second}", answer) for answer in answers]
        if estimates:
            panels.append(figures.Panel(metric(name).label, _scale(metric(name)), estimates))
    if not panels:
        return None
    picture = Picture(
        "paired_differences",
        "Paired differences to the baseline with 95 % intervals; of times, ratios.",
        f"Paired differences in {panels[0].title}: {_in_words(panels[0])}.",
    )
    return picture, lambda: figures.intervals(panels)


def _claims(analysis: Analysis) -> tuple[Picture, Draw] | None:
    by_metric: dict[str, list[figures.Estimate]] = {}
    for judged in analysis.judgements:
        for found in judged.findings:
            if (
                found.answer is not None
                and found.answer.comparison.pairs
                and isinstance(found.part.question.second, str)
            ):
                estimate = replace(
                    _of_answer(found.part.text, found.answer),
                    published=_published(judged.claim.published, found),
                    verdict=str(found.verdict),
                )
                by_metric.setdefault(judged.claim.metric, []).append(estimate)
    if not by_metric:
        return None
    panels = [figures.Panel(metric(name).label, _scale(metric(name)), rows) for name, rows in by_metric.items()]
    verdicts = "; ".join(f"{judged.claim.id} {judged.verdict}" for judged in analysis.judgements)
    picture = Picture(
        "claims",
        "Claims at a glance: the first minus the second (of times, their ratio) with its 95 % interval; diamonds are "
        "published.",
        f"Verdicts: {verdicts}.",
    )
    return picture, lambda: figures.claims(panels)


def _published(published: Mapping[str, float], found: Finding) -> float:
    first = published.get(found.part.question.first)
    second = published.get(str(found.part.question.second))
    if first is None or second is None:
        return math.nan
    return first / second if metric(found.part.question.metric).is_cost else first - second


def _effects(analysis: Analysis) -> tuple[Picture, Draw] | None:
    panels = [
        figures.Panel(
            metric(found.metric).label + ("" if found.factorial.is_only else f", {found.factorial.full}"),
            _scale(metric(found.metric)),
            [
                _estimate(
                    " × ".join(effect.factors), effect.evidence.mean, effect.evidence.interval, metric(found.metric)
                )
                for effect in found.effects
            ],
        )
        for found in analysis.factorials
        if found.effects
    ]
    if not panels:
        return None
    picture = Picture(
        "effects",
        "Main effects and interactions (×) with 95 % intervals; on times, ratios.",
        f"Effects on {panels[0].title}: {_in_words(panels[0])}.",
    )
    return picture, lambda: figures.intervals(panels)


def _times(analysis: Analysis) -> tuple[Picture, Draw] | None:
    study = analysis.study
    names = [name for name in PARTS if name in study.metrics and name != "total_seconds"]
    runs = study.timed_alike
    if not names or runs.empty:
        return None
    labels = [label for label in study.labels if label in set(runs["variant"])]
    parts = pd.DataFrame({PARTS[name]: runs.groupby("variant")[name].mean() for name in names}).loc[labels]
    totals = ", ".join(f"{variant} {seconds:.1f} s" for variant, seconds in parts.sum(axis=1).items())
    picture = Picture(
        "times",
        f"Time of a run, split into its parts; mean over seeds.{_left_out(study)}",
        f"Mean time of a run: {totals}.",
    )
    return picture, lambda: figures.times(parts)


def _cost(analysis: Analysis) -> tuple[Picture, Draw] | None:
    study = analysis.study
    if "total_seconds" not in study.metrics or not metric(analysis.metric).higher_is_better:
        return None
    runs = study.timed_alike[["variant", "total_seconds", analysis.metric]].dropna()
    if runs.empty:
        return None
    runs = runs.rename(columns={"total_seconds": "cost", analysis.metric: "value"})
    label = metric(analysis.metric).label
    front = pareto_front(runs.groupby("variant", sort=False).mean().reset_index())
    picture = Picture(
        "accuracy_against_time",
        "Accuracy against time: a small point a run, a large one a variant's mean; dotted, the means that no "
        f"other beats in both.{_left_out(study)}",
        f"{label} against total time; no other is both faster and better than {', '.join(front['variant'])}.",
    )
    palette = figures.styles(study.labels)
    return picture, lambda: figures.accuracy_against_time(runs, front, label, palette)


def _left_out(study: Study) -> str:
    """Returns how many runs are in no figure of times, and why."""
    left = len(study.runs) - len(study.timed_alike)
    why = "their times are shares of a cohort's, or of another machine, device, precision or version of torch"
    return f" Left out, {count(left, 'run')}: {why}." if left else ""


def _of_answer(name: str, answer: Answer) -> figures.Estimate:
    return _estimate(name, answer.comparison.mean, answer.comparison.interval, answer.metric)


def _estimate(name: str, mean: float, interval: Interval, kind: Metric) -> figures.Estimate:
    mean, low, high = (math.exp(value) if kind.is_cost else value for value in (mean, interval.low, interval.high))
    return figures.Estimate(name, mean, low, high)


def _scale(kind: Metric) -> str:
    return "ratio" if kind.is_cost else "share" if kind.kind == "share" else "number"


def _in_words(panel: figures.Panel) -> str:
    """Returns the rows of a panel in words, for those who do not see it."""
    shown = {"ratio": "× {:.3f}", "share": "{:+z.2%}", "number": "{:+z.4g}"}[panel.scale]
    return "; ".join(f"{estimate.name} {minus(shown.format(estimate.mean))}" for estimate in panel.estimates)
