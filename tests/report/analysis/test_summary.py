from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from ablate.report.analysis.summary import (
    accuracy_table,
    learning_curves,
    pareto_front,
    published_table,
    runs_table,
    time_table,
)
from ablate.report.study.collect import collect
from ablate.stats import prediction_interval

Make = Callable[..., Path]


@pytest.fixture
def three_runs(make_run: Make, study: Path) -> Path:
    for seed, final in enumerate((0.6, 0.62, 0.7)):
        make_run("plain", seed, (0.5, 0.72, final))
    return study


def test_accuracies_over_seeds_by_hand(three_runs: Path) -> None:
    table = accuracy_table(collect(three_runs)).set_index("epoch")
    final = table.loc["final epoch"]
    values = [0.6, 0.62, 0.7]
    assert (final["runs"], final["min"], final["max"]) == (3, 0.6, 0.7)
    assert final["mean"] == pytest.approx(0.64)
    assert final["sd"] == pytest.approx(stats.tstd(values))
    assert final["published"] == 0.75
    assert table.loc["best epoch", "mean"] == pytest.approx(0.72)
    assert table.loc["lowest epoch", "max"] == 0.5
    assert pd.isna(table.loc["best epoch", "published"])
    assert set(table["metric"]) == {"test_accuracy"}


def test_validation_stands_beside_the_test_set(make_run: Make, study: Path) -> None:
    make_run("plain", 0, validation=True)
    table = accuracy_table(collect(study)).set_index(["metric", "epoch"])
    assert table.loc[("validation_accuracy", "final epoch"), "mean"] == pytest.approx(0.5)
    assert table.loc[("test_accuracy", "final epoch"), "mean"] == pytest.approx(0.6)


def test_times_over_seeds_by_hand(three_runs: Path) -> None:
    table = time_table(collect(three_runs)).set_index("part")
    assert table.loc["training", ["min", "mean", "max"]].tolist() == [6, 9, 12]  # three epochs of 2, 3 and 4 seconds
    assert table.loc["total", "mean"] == 9 + 3 + 1.5
    assert table.loc["total", "published"] == 100
    assert pd.isna(table.loc["data", "published"])


def test_one_run_has_no_standard_deviation(make_run: Make, study: Path) -> None:
    make_run("plain", 0)
    assert accuracy_table(collect(study))["sd"].isna().all()


def test_curves_over_seeds_by_hand(three_runs: Path) -> None:
    curves = learning_curves(collect(three_runs), "test_accuracy")
    assert curves["epoch"].tolist() == [1, 2, 3]
    assert curves["min"].tolist() == [0.5, 0.72, 0.6]
    assert curves["max"].tolist() == [0.5, 0.72, 0.7]
    assert curves["mean"].tolist() == pytest.approx([0.5, 0.72, 0.64])


def test_every_run_has_a_row(three_runs: Path) -> None:
    runs = runs_table(collect(three_runs))
    assert runs["seed"].tolist() == [0, 1, 2]
    assert runs["test_accuracy"].tolist() == [0.6, 0.62, 0.7]
    assert runs["total_seconds"].tolist() == [10.5, 13.5, 16.5]
    assert all((three_runs / run / "run.json").is_file() for run in runs["run"])


def test_published_figures_against_one_new_run(make_run: Make, study: Path) -> None:
    for seed, final in enumerate((0.6, 0.62, 0.7)):
        make_run("plain", seed, (0.5,) * 49 + (final,), train={"epochs": 50})
    (row,) = published_table(collect(study)).to_dict("records")
    interval = prediction_interval([0.6, 0.62, 0.7])
    assert (row["metric"], row["published"]) == ("test_accuracy", 0.75)
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    assert row["inside"] is True


def test_published_figures_are_held_against_runs_of_as_many_epochs_alone(three_runs: Path) -> None:
    assert published_table(collect(three_runs)).empty


def test_the_points_that_no_other_beats_by_hand() -> None:
    points = pd.DataFrame({"cost": [1.0, 2.0, 3.0, 3.0, 4.0], "value": [0.5, 0.4, 0.7, 0.6, 0.7]})
    assert pareto_front(points)[["cost", "value"]].to_numpy().tolist() == [[1, 0.5], [3, 0.7]]
