"""Statistics of a metric over a run's epochs, against numpy."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ablate.records.epochs import last_of, over_epochs, split_statistic, summarise
from ablate.records.run_directory import RunDirectory

values = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 5)), min_size=1, max_size=12))
def test_statistics_equal_numpys(rows: list[tuple[float, float, float]]) -> None:
    test, validation, loss = map(list, zip(*rows, strict=True))
    columns = {"test_accuracy": test, "validation_accuracy": validation, "test_loss": loss}
    of = {name: over_epochs(name, columns) for name in ("test_accuracy", "test_accuracy.final")}
    assert set(of.values()) == {test[-1]}
    for number in (1, 3, 5):
        expected = np.mean(test[-number:]) if number <= len(test) else math.nan
        assert over_epochs(f"test_accuracy.last{number}", columns) == pytest.approx(expected, nan_ok=True)
    assert over_epochs("test_accuracy.best", columns) == max(test)
    assert over_epochs("test_loss.best", columns) == min(loss)
    assert over_epochs("test_accuracy.at_best_validation", columns) == test[int(np.argmax(validation))]
    results = summarise([{"epoch": number, **dict(zip(columns, row, strict=True))} for number, row in enumerate(rows)])
    assert over_epochs("test_accuracy.maximum", columns) == results["test_accuracy"].maximum
    assert over_epochs("test_loss.minimum", columns) == results["test_loss"].minimum


def test_what_is_not_there() -> None:
    columns = {"test_accuracy": [0.5, math.nan, 0.7, 0.6]}
    assert math.isnan(over_epochs("test_accuracy.at_best_validation", columns))
    assert math.isnan(over_epochs("test_accuracy.last3", columns))  # one of them has no value
    assert over_epochs("test_accuracy.last2", columns) == pytest.approx(0.65)
    assert over_epochs("test_accuracy.best", columns) == 0.7
    assert math.isnan(over_epochs("hours.best", {"hours": [1.0, 2.0]}))  # which may be the one or the other
    assert over_epochs("perplexity.best", {"perplexity": [3.0, 2.0, 4.0]}) == 2
    chooser = {"test_accuracy": [0.1, 0.2], "validation_accuracy": [math.nan, 0.3]}
    assert over_epochs("test_accuracy.at_best_validation", chooser) == 0.2
    with pytest.raises(KeyError):
        over_epochs("other.last5", columns)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        ("test_accuracy", ("test_accuracy", "final")),
        ("test_accuracy.last10", ("test_accuracy", "last10")),
        ("test_accuracy.last0", ("test_accuracy.last0", "final")),
        ("acc.val", ("acc.val", "final")),
        ("acc.final", ("acc", "final")),
    ],
)
def test_a_metric_is_a_name_and_a_statistic(metric: str, expected: tuple[str, str]) -> None:
    assert split_statistic(metric) == expected
    assert last_of("last10") == 10 and last_of("least") is None


def test_a_run_gives_its_metric_by_its_statistic(train_one: Callable[..., Path]) -> None:
    directory = RunDirectory(train_one("train.epochs=2", "study.metric=test_accuracy.last2"))
    record = directory.read_record()
    assert record is not None
    rows = directory.read_epochs()
    mean = sum(row["test_accuracy"] for row in rows) / 2
    assert directory.value(record, "test_accuracy.last2") == pytest.approx(mean)
    assert directory.value(record, "test_accuracy.final") == directory.value(record, "test_accuracy")
    assert directory.value(record, "total_seconds") == record.times["total_seconds"]
