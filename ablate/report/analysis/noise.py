"""Where a metric's noise comes from, and what the choice of its statistic over epochs does to it."""

import math

import numpy as np
import pandas as pd

from ablate import stats
from ablate.records.epochs import split_statistic
from ablate.report.analysis.comparisons import Question, answers, resolution, to_baselines
from ablate.report.study.study import Study

_LAST = 5  # epochs, over which the noise from epoch to epoch is taken


def noise_table(study: Study, name: str) -> pd.DataFrame:
    """Returns standard deviations of a metric by variant: what more seeds, epochs or images would average away.

    Columns: variant, seeds (over the seeds), epochs (of one epoch about the line through its neighbours, over the last
    five: a sixth of the mean square of second differences), images (of a share of so many test images, which is
    binomial; NaN where that is not known). Empty without epochs.
    """
    column, step = split_statistic(name)[0], resolution(study, study.metric(name))
    if column not in study.epochs or name not in study.metrics:
        return pd.DataFrame()
    rows = []
    for label in study.labels:
        values = study.values(label, name)
        of_variant = study.epochs[study.epochs["variant"] == label]
        last = [of_run[column].to_numpy()[-_LAST:] for _, of_run in of_variant.groupby("run", sort=False)]
        bends = [np.diff(values_of_run, 2) for values_of_run in last if len(values_of_run) > 2]
        share = float(values.mean())
        rows.append(
            {
                "variant": label,
                "seeds": float(values.std()),
                "epochs": math.sqrt(np.mean(np.concatenate(bends) ** 2) / 6) if bends else math.nan,
                "images": math.sqrt(share * (1 - share) * step) if step and 0 <= share <= 1 else math.nan,
            }
        )
    return pd.DataFrame(rows)


def statistics_table(study: Study, name: str) -> pd.DataFrame:
    """Returns each comparison with the baseline by each statistic of a metric over epochs.

    Columns: first, second, metric, mean (of the paired differences), sd, needed (seeds of a paired t-test with a power
    of 80 %, if mean and spread are those; None if that cannot be said). Empty with one statistic or no epochs.
    """
    column = split_statistic(name)[0]
    names = [column, *(f"{column}.{statistic}" for statistic in ("last5", "best", "at_best_validation"))]
    names = [each for each in dict.fromkeys([*names, name]) if each in study.metrics]
    if len(names) < 2 or study.lengths() <= {1}:
        return pd.DataFrame()
    found = answers(study, to_baselines(study, names))
    rows = []
    for label in study.labels:
        of_variant = sorted((each for each in found if each.first == label), key=lambda each: names.index(each.metric))
        rows += [_row(question, found[question].differences) for question in of_variant]
    return pd.DataFrame(rows)


def _row(question: Question, differences: np.ndarray) -> dict[str, object]:
    several = len(differences) > 1
    return {
        "first": question.first,
        "second": question.second,
        "metric": question.metric,
        "mean": float(differences.mean()) if len(differences) else math.nan,
        "sd": float(differences.std(ddof=1)) if several else math.nan,
        "needed": stats.seeds_needed(differences) if several else None,
    }
