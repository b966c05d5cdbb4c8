"""Results of the runs of each variant, summarised over their seeds."""

from collections.abc import Sequence

import pandas as pd

from ablate.report.collect import Study

# Statistics over a run's epochs, by what tables call them. The extremes are those that the first study reports.
OVER_EPOCHS = {"final": "final epoch", "maximum": "best epoch", "minimum": "lowest epoch"}
PARTS = {"train_seconds": "training", "eval_seconds": "evaluation", "data_seconds": "data", "total_seconds": "total"}


def accuracy_table(study: Study) -> pd.DataFrame:
    """Returns a row for each variant, accuracy and statistic over epochs.

    Columns: variant, metric, epoch, runs, mean, sd, min, max (over seeds, each from 0 to 1), published.
    """
    rows = []
    for metric in ("test_accuracy", "validation_accuracy"):
        for variant in study.labels if metric in study.epochs else ():
            for statistic, shown in OVER_EPOCHS.items():
                values = [record["results"][metric][statistic] for record in study.records_of(variant)]
                published = _published(study, variant, metric, statistic)
                rows.append({"variant": variant, "metric": metric, "epoch": shown, **_over_seeds(values), **published})
    return pd.DataFrame(rows)


def time_table(study: Study) -> pd.DataFrame:
    """Returns a row for each variant and part of a run's time.

    Columns: variant, part, runs, mean, sd, min, max (over seeds, in seconds), published.
    """
    rows = []
    for variant in study.labels:
        for part, shown in PARTS.items():
            values = [record["times"][part] for record in study.records_of(variant)]
            rows.append(
                {"variant": variant, "part": shown, **_over_seeds(values), **_published(study, variant, part, "total")}
            )
    return pd.DataFrame(rows)


def runs_table(study: Study) -> pd.DataFrame:
    """Returns a row for each complete run: where it is, what it gave, and what it came from."""
    return pd.DataFrame(
        [
            {
                "run": run,
                "variant": study.variants[run],
                "seed": record["seed"],
                **{f"test_accuracy_{name}": record["results"]["test_accuracy"][name] for name in OVER_EPOCHS},
                "test_loss_final": record["results"]["test_loss"]["final"],
                **{part: record["times"][part] for part in PARTS},
                "parameters": record["model"]["after"]["parameters"],
                "flops": record["model"]["after"]["flops"],
                "commit": record["provenance"]["code"].get("commit"),
                "started": record["started"],
            }
            for run, record in study.records.items()
        ]
    )


def learning_curves(study: Study, metric: str) -> pd.DataFrame:
    """Returns a column's mean and range over seeds: variant, epoch, mean, min, max; variants in their order."""
    grouped = study.epochs.groupby(["variant", "epoch"], sort=False)[metric]
    return grouped.agg(["mean", "min", "max"]).reset_index()


def _over_seeds(values: Sequence[float]) -> dict[str, float]:
    runs = pd.Series(values)
    return {"runs": len(runs), "mean": runs.mean(), "sd": runs.std(), "min": runs.min(), "max": runs.max()}


def _published(study: Study, variant: str, metric: str, statistic: str) -> dict[str, float | None]:
    figures = study.definition["published"]["variants"].get(variant, {})
    return {"published": figures.get(metric, {}).get(statistic)}
