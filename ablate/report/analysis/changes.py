"""What changed between two reports: before and after a change, on two machines, theirs and ours."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ablate import stats
from ablate.report.analysis.analyse import Analysis
from ablate.report.study.metrics import Metric


@dataclass(frozen=True)
class Change:
    """A variant's metric in both: the second minus the first (of costs, of logarithms), of runs that are no pairs."""

    metric: Metric
    variant: str
    means: tuple[float, float]
    evidence: stats.Evidence
    is_same: bool  # every number, seed by seed
    p_adjusted: float = np.nan


def changes(first: Analysis, second: Analysis) -> Iterator[Change]:
    """Yields the change of each metric that the first compares in each variant of both.

    Its p-value is of Welch's t-test, adjusted by Holm's method over the variants of the metric; numbers that are the
    same in each seed are not tested. Of times, runs that were trained together with others do not count.

    Raises:
        ValueError: No variant, or no metric, is in both.
    """
    labels = [label for label in first.study.labels if label in second.study.labels]
    names = [name for name in first.questions if name in second.study.metrics]
    if not labels or not names:
        what, ours, theirs = ("metric", first.questions, second.questions) if labels else (
            "variant", first.study.labels, second.study.labels)  # fmt: skip
        raise ValueError(f"no {what} is in both: there are {', '.join(ours)} and {', '.join(theirs)}")
    for name in names:
        kind, found = first.study.metric(name), []
        for label in labels:
            values = [_values(each, label, kind) for each in (first, second)]
            numbers = [each.to_numpy(dtype=float) for each in values]
            if not all(map(len, numbers)):
                continue
            scaled = [np.log(each) for each in numbers] if kind.is_cost else numbers
            is_same = values[0].sort_index().equals(values[1].sort_index())
            means = (float(numbers[0].mean()), float(numbers[1].mean()))
            found.append((label, means, stats.weigh_unpaired(scaled[1], scaled[0]), is_same))
        adjusted = iter(stats.adjust([evidence.p for _, _, evidence, is_same in found if not is_same])[0])
        for label, means, evidence, is_same in found:
            yield Change(kind, label, means, evidence, is_same, np.nan if is_same else next(adjusted))


def _values(analysis: Analysis, label: str, kind: Metric) -> pd.Series:
    """Returns a metric of a variant's runs by seed; of a cost, of those on one clock alone."""
    rows = analysis.study.of(label)
    return rows[kind.name][rows["run"].isin(analysis.study.timed_alike["run"]) | (not kind.is_cost)].dropna()
