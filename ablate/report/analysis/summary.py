"""Results of the runs of each variant, summarised over their seeds."""

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from ablate.files import Plain
from ablate.records.record import RunRecord
from ablate.report.study.study import Study
from ablate.stats import mean_interval, prediction_interval

# Statistics over a run's epochs, by what tables call them. The extremes are those that the first study reports.
OVER_EPOCHS = {
    "final": "final epoch",
    "last5": "mean of the last 5",
    "maximum": "best epoch",
    "minimum": "lowest epoch",
    "at_best_validation": "chosen by validation",
}
PARTS = {"train_seconds": "training", "eval_seconds": "evaluation", "data_seconds": "data", "total_seconds": "total"}


# Columns of the table of runs that say what a run came from.
_ORIGIN: Mapping[str, Callable[[RunRecord], str | int | None]] = {
    "commit": lambda record: record.provenance.code.commit,
    "cpu": lambda record: record.provenance.machine.cpu,
    "threads": lambda record: record.provenance.threads,
    "started": lambda record: record.started,
}


def summary_table(study: Study, metrics: Sequence[str]) -> pd.DataFrame:
    """Returns a row for each variant and metric.

    Columns: variant, metric, runs, mean, low and high (of the mean's 95 % t-interval), sd, min, max (over seeds),
    published, seeds.
    """
    return pd.DataFrame([_row(study, variant, name) for name in metrics for variant in study.labels])


def accuracy_table(study: Study) -> pd.DataFrame:
    """Returns the summary of each accuracy by each statistic over epochs, in words as `epoch`."""
    names = [name for name in ("test_accuracy", "validation_accuracy") if name in study.metrics]
    tables = []
    for name in names:
        for statistic, epoch in OVER_EPOCHS.items():
            column = name if statistic == "final" else f"{name}.{statistic}"
            if column not in study.metrics:
                continue
            rows = summary_table(study, [column])
            rows.insert(1, "epoch", epoch)
            tables.append(rows.assign(metric=name))
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    order = {label: number for number, label in enumerate(study.labels)}
    place = table["metric"].map(names.index) * len(order) + table["variant"].map(order)
    return table.loc[place.sort_values(kind="stable").index].reset_index(drop=True)


def time_table(study: Study) -> pd.DataFrame:
    """Returns the summary of each part of a run's time, in seconds, with its name as `part`."""
    names = [name for name in PARTS if name in study.metrics]
    table = summary_table(study, names)
    if table.empty:
        return table
    table.insert(1, "part", table["metric"].map(PARTS))
    order = {label: number for number, label in enumerate(study.labels)}
    return table.sort_values("variant", key=lambda column: column.map(order), kind="stable").reset_index(drop=True)


def published_table(study: Study) -> pd.DataFrame:
    """Returns a row for each published figure that the runs can be held against: is it what one more run would give?

    Columns: variant, metric, published, mean, low and high (of the 95 % prediction interval for one new run), inside,
    runs. Left out are runs of another number of epochs, and times, which claims compare as ratios.
    """
    rows = []
    for variant, figures in study.definition.published.items():
        if variant not in study.labels or not _as_long(study, variant):
            continue
        for name, published in figures.items():
            if name not in study.metrics or study.metric(name).is_cost:
                continue
            values = study.values(variant, name).to_numpy(dtype=float)
            interval = prediction_interval(values)
            rows.append(
                {
                    "variant": variant,
                    "metric": name,
                    "published": published,
                    "mean": values.mean() if len(values) else math.nan,
                    "low": interval.low,
                    "high": interval.high,
                    "inside": None if math.isnan(interval.low) else published in interval,
                    "runs": len(values),
                }
            )
    return pd.DataFrame(rows)


def runs_table(study: Study) -> pd.DataFrame:
    """Returns a row for each complete run: what it gave, and what it came from."""
    table = study.runs.drop(columns="clock").copy()  # in one piece, for there may be hundreds of columns
    for column, read in _ORIGIN.items():
        table[column] = [read(study.records[run]) if run in study.records else None for run in table["run"]]
    return table.dropna(axis="columns", how="all")


def learning_curves(study: Study, column: str) -> pd.DataFrame:
    """Returns a column's mean and range over seeds: variant, epoch, mean, min, max; variants in their order."""
    grouped = study.epochs.groupby(["variant", "epoch"], sort=False)[column]
    return grouped.agg(["mean", "min", "max"]).reset_index()


def pareto_front(points: pd.DataFrame) -> pd.DataFrame:
    """Returns the points that no other beats in both, cheapest first.

    Args:
        points: Columns cost (lower is better) and value (higher is better).
    """
    ordered = points.sort_values(["cost", "value"], ascending=[True, False], kind="stable")
    best = ordered["value"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["value"] > best]


def _row(study: Study, variant: str, name: str) -> Plain:
    values = study.values(variant, name)
    interval = mean_interval(values.to_numpy(dtype=float))
    return {
        "variant": variant,
        "metric": name,
        "runs": len(values),
        "mean": values.mean(),
        "low": interval.low,
        "high": interval.high,
        "sd": values.std(),
        "min": values.min(),
        "max": values.max(),
        "published": study.definition.published.get(variant, {}).get(name, math.nan),
        "seeds": " ".join(map(str, values.index)),
    }


def _as_long(study: Study, variant: str) -> bool:
    """Whether a variant's runs have as many epochs as the published ones, as far as that is known."""
    epochs, published = study.lengths(variant), study.definition.published_epochs
    return published is None or not epochs or epochs == {published}
