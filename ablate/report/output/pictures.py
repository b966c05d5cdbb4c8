"""Which figures a report has, and the numbers in them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ablate import stats
from ablate.files import Plain
from ablate.report.analysis.analyse import Analysis
from ablate.report.analysis.comparisons import Answer, swapped
from ablate.report.analysis.data_sets import Labels, by_data
from ablate.report.analysis.summary import PARTS, pareto_front
from ablate.report.analysis.summary import learning_curves as curves_of
from ablate.report.analysis.verdicts import Finding
from ablate.report.output import figures
from ablate.report.output.document import Picture
from ablate.report.output.words import count
from ablate.report.study.metrics import Metric, minus
from ablate.report.study.study import Study

_CURVES = ("test_accuracy", "test_loss", "train_loss", "validation_accuracy", "validation_loss", "train_accuracy")
_MOST_CURVES = 3  # metrics that a figure has panels of
_MOST_LOOKS = 12  # panels that still can be read


def _picture(
    analysis: Analysis,
    name: str,
    caption: str,
    alt: str,
    panels: Sequence[figures.Panel],
    most: int = 2,
    usual: str = "",
) -> Picture:
    """Returns a figure of panels, at most so many beside each other."""

    def draw() -> Figure:
        return figures.grid(panels, analysis.study.definition.figures, name, most, usual)

    return Picture(name, caption, alt, draw)


def _in_data(analysis: Analysis) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Yields each data set with the rows of its variants, by label; where there is but one, labels are rows."""
    named, sets = by_data(analysis.study, analysis.tables[0].chosen.across)
    for data in sets:
        yield data, {labels[data]: row for row, labels in named.items() if data in labels}


def _styles(analysis: Analysis) -> dict[str, figures.Style]:
    named: Mapping[str, Labels] = by_data(analysis.study, analysis.tables[0].chosen.across)[0]
    return figures.styles(list(named))


def _title(kind: Metric, data: str) -> str:
    return f"{kind.short}{f', {data}' * bool(data)}"


def learning_curves(analysis: Analysis) -> Iterator[Picture]:
    """Yields the learning curves, if there are epochs."""
    study, palette = analysis.study, _styles(analysis)
    if study.epochs.empty:
        return
    asked = [study.metric(name).column for name in (analysis.metric, *study.definition.metrics)]
    beside = [study.metric(name).column for name in analysis.questions]
    named = dict.fromkeys([*asked, *_CURVES, *beside])
    columns = [name for name in named if name in study.epochs and not study.metric(name).is_cost]
    panels, curves = [], []
    for column in columns:
        kind, means = study.metric(column), curves_of(study, column)
        runs = study.epochs[["run", "variant", "epoch", column]].rename(columns={column: "value"})
        for data, rows in _in_data(analysis):
            of_means, of_runs = (
                frame[frame["variant"].isin(rows)].assign(variant=frame["variant"].map(rows)) for frame in (means, runs)
            )
            curves.append(_curves(kind, data, of_means, of_runs))
            if column in columns[:_MOST_CURVES]:
                panels.append(figures.curves(_title(kind, data), of_means, of_runs, palette, kind.unit))
    if not panels:
        return
    first = study.metric(columns[0])
    last = curves_of(study, first.name).groupby("variant", sort=False)["mean"].last()
    picture = _picture(
        analysis,
        "learning_curves",
        "Learning curves: mean over seeds, band from the lowest to the highest seed, thin lines the seeds.",
        f"Learning curves of {', '.join(study.labels)}; {first.short} at the end on average: "
        + ", ".join(f"{variant} {first.show(value)}" for variant, value in last.items()) + ".",
        panels, most=min(3, len(panels)),
    )  # fmt: skip
    drawn: Plain = {"panels": curves, "styles": {row: [style.colour, style.line] for row, style in palette.items()}}
    yield Picture(picture.name, picture.caption, picture.alt, picture.draw, drawn)


def _curves(kind: Metric, data: str, means: pd.DataFrame, runs: pd.DataFrame) -> Plain:
    """Returns the curves of a metric on a data set as data, to the digits that can be seen."""
    factor = 100 if kind.unit == "%" else 1

    def digits(values: pd.Series) -> list[float | None]:
        return [float(f"{factor * value:.4g}") if math.isfinite(value) else None for value in values]

    of_runs = runs.groupby("variant", sort=False)
    series = [
        {"name": variant, **{key: digits(rows[key]) for key in ("mean", "min", "max")},
         "runs": [digits(run["value"]) for _, run in of_runs.get_group(variant).groupby("run", sort=False)]}
        for variant, rows in means.groupby("variant", sort=False)
    ]  # fmt: skip
    return {"metric": kind.short, "unit": kind.unit, "data": data, "series": series}


def paired_differences(analysis: Analysis) -> Iterator[Picture]:
    """Yields the differences to the baseline, if there are any."""
    panels, said = [], ""
    for name, questions in analysis.questions.items():
        answers = [analysis.answers[question] for question in questions if analysis.answers[question].evidence.pairs]
        if answers:
            shown = [_of_answer(f"{answer.question.first} − {answer.question.second}", answer) for answer in answers]
            kind = analysis.study.metric(name)
            panels.append(_forest(kind, shown))
            said = said or f"Paired differences in {kind.label}: {_in_words(shown, kind)}."
    if panels:
        caption = f"Paired differences to the baseline with {_intervals(analysis)}; of times, ratios."
        yield _picture(analysis, "paired_differences", caption, said, panels)


def claims(analysis: Analysis) -> Iterator[Picture]:
    """Yields the claims at a glance, and where seeds were added to settle them, how their intervals narrowed."""
    by_metric: dict[str, list[figures.Estimate]] = {}
    drawn = set()
    for judged in analysis.judgements:
        for found in _of_two(judged.findings):
            assert found.answer is not None
            question = found.part.question
            if question in drawn or swapped(question) in drawn:
                continue  # an earlier claim says something of the same two
            drawn.add(question)
            published = _published(judged.claim.published, found)
            estimate = _of_answer(found.part.text, found.answer, published, str(found.verdict), judged.claim.statement)
            by_metric.setdefault(judged.claim.metric, []).append(estimate)
    if not by_metric:
        return
    panels = [_forest(analysis.study.metric(name), rows) for name, rows in by_metric.items()]
    verdicts = "; ".join(f"{judged.claim.id} {judged.verdict}" for judged in analysis.judgements)
    caption = (
        f"Claims at a glance: the first minus the second (of times, their ratio) with {_intervals(analysis)}, under "
        "the first claim that says something of the two; diamonds are published."
    )
    picture = _picture(analysis, "claims", caption, f"Verdicts: {verdicts}.", panels, 1, "double")
    yield picture
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
        caption = (
            "How sure it was after how many seeds: the mean difference and its 95 % confidence sequence, in the order "
            "of the seeds; dashed, the margin."
        )
        said = f"Confidence sequences over seeds of {', '.join(answers)}."
        yield _picture(analysis, "looks", caption, said, panels, most=3)


def _narrowing(text: str, answer: Answer) -> figures.Panel:
    rows = []
    for number in range(1, len(answer.differences) + 1):
        so_far = answer.differences[:number]
        bounds = stats.confidence_sequence(so_far, answer.resolution)
        rows.append((number, float(so_far.mean()), bounds.low, bounds.high))
    frame = pd.DataFrame(rows, columns=["seeds", "mean", "low", "high"])
    if answer.metric.is_cost:
        frame[["mean", "low", "high"]] = np.exp(frame[["mean", "low", "high"]])
    return figures.narrowing(text, frame, _scale(answer.metric), answer.question.margin)


def _published(published: Mapping[str, float], found: Finding) -> float:
    first = published.get(found.part.question.first)
    second = published.get(str(found.part.question.second))
    if first is None or second is None:
        return math.nan
    return first / second if found.answer is not None and found.answer.metric.is_cost else first - second


def effects(analysis: Analysis) -> Iterator[Picture]:
    """Yields the effects of factorials, if there are any."""
    panels, said = [], ""
    for found in analysis.factorials:
        kind = analysis.study.metric(found.metric)
        estimates = [_estimate(" × ".join(each.factors), each.evidence, kind) for each in found.effects]
        if estimates:
            title = kind.label + ("" if found.factorial.is_only else f", {found.factorial.full}")
            panels.append(replace(_forest(kind, estimates), title=title))
            said = said or f"Effects on {title}: {_in_words(estimates, kind)}."
    if panels:
        caption = f"Main effects and interactions (×) with {_intervals(analysis)}; on times, ratios."
        yield _picture(analysis, "effects", caption, said, panels)


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
    caption = f"Time of a run, split into its parts; mean over seeds.{_left_out(study)}"
    yield _picture(analysis, "times", caption, f"Mean time of a run: {totals}.", [figures.times(parts)])


def accuracy_against_time(analysis: Analysis) -> Iterator[Picture]:
    """Yields what accuracy costs on each data set, if the times of runs can be compared."""
    study, kind = analysis.study, analysis.study.metric(analysis.metric)
    if "total_seconds" not in study.metrics or not kind.higher_is_better:
        return
    runs = study.timed_alike[["variant", "total_seconds", kind.name]].dropna()
    runs = runs.rename(columns={"total_seconds": "cost", kind.name: "value"})
    palette, panels, best = _styles(analysis), [], []
    for data, rows in _in_data(analysis):
        of_set = runs[runs["variant"].isin(rows)].assign(variant=runs["variant"].map(rows))
        if of_set.empty:
            continue
        front = pareto_front(of_set.groupby("variant", sort=False).mean().reset_index())
        best.append(f"{', '.join(front['variant'])}{f' on {data}' * bool(data)}")
        panels.append(figures.against_time(data, of_set, front, kind.short, kind.unit, palette))
    if panels:
        parts = " (training, evaluation and data)" if "eval_seconds" in study.metrics else ""
        caption = (
            f"{kind.label[:1].upper()}{kind.label[1:]}, against time{parts}: a small point a run, a large one a "
            f"variant's mean; dotted, the means that no other beats in both.{_left_out(study)}"
        )
        said = f"{kind.label} against total time; no other is both faster and better than {'; '.join(best)}."
        yield _picture(analysis, "accuracy_against_time", caption, said, panels)


def _intervals(analysis: Analysis) -> str:
    return "95 % confidence sequences" if analysis.looks.test is stats.Test.ANYTIME else "95 % intervals"


def _left_out(study: Study) -> str:
    """Returns how many runs are in no figure of times, and why."""
    left = len(study.runs) - len(study.timed_alike)
    why = "their times are shares of a cohort's, or of another machine, device, precision or version of torch"
    return f" Left out, {count(left, 'run')}: {why}." if left else ""


def _forest(kind: Metric, estimates: Sequence[figures.Estimate]) -> figures.Panel:
    return figures.forest(kind.label, estimates, _scale(kind), kind.own_unit)


def _of_answer(name: str, answer: Answer, *beside: float | str) -> figures.Estimate:
    return _estimate(name, answer.evidence, answer.metric, *beside)


def _estimate(name: str, evidence: stats.Evidence, kind: Metric, *beside: float | str) -> figures.Estimate:
    interval = evidence.interval
    bounds = (interval.low, interval.high) if math.isfinite(interval.low) else (math.nan, math.nan)
    mean, low, high = (math.exp(value) if kind.is_cost else value for value in (evidence.mean, *bounds))
    return figures.Estimate(name, mean, low, high, *beside)  # type: ignore[arg-type]


def _scale(kind: Metric) -> str:
    return "ratio" if kind.is_cost else "share" if kind.kind == "share" else "number"


def _in_words(estimates: Sequence[figures.Estimate], kind: Metric) -> str:
    """Returns estimates in words, for those who do not see them."""
    shown = {"ratio": "× {:.3f}", "share": "{:+z.2%}", "number": "{:+z.4g}"}[_scale(kind)]
    return "; ".join(f"{estimate.name} {minus(shown.format(estimate.mean))}" for estimate in estimates)
