"""Runs of other tools as records, from what a tool may log."""

import math
from typing import Any

import pytest

from ablate.records.record import Status
from ablate.sources.into_records import ImportedRun, into_records
from ablate.sources.logged_run import LoggedRun, Wanted, metric_names


def imported(*history: dict[str, float], metrics: dict[str, str] | None = None, **fields: Any) -> ImportedRun:
    run = LoggedRun("r", "complete", "2026-01-01", {"variant": "plain", "seed": "0", **fields}, history)
    (made,) = into_records([run], "s", "x", Wanted("variant", "seed", metrics or {"loss": "loss"}, baseline="plain"))
    return made


@pytest.mark.parametrize("stored", [1.7976931348623157e308, -1.7976931348623157e308, math.inf, math.nan])
def test_what_trackers_store_in_place_of_infinity_is_no_number(stored: float) -> None:
    record, _ = imported({"loss": 1.0}, {"loss": stored})
    assert record.status is Status.FAILED and not record.results
    record, rows = imported({"loss": 1.0, "b": stored}, metrics={"loss": "loss", "b": "b"})
    assert record.status is Status.COMPLETE and not math.isfinite(rows[0]["b"])
    record, _ = imported({"acc": stored}, {"acc": 0.5}, metrics={"test_accuracy": "acc"})
    assert record.results["test_accuracy"].final == 0.5


def test_a_large_number_is_a_number() -> None:
    assert imported({"loss": 1e300})[0].results["loss"].final == 1e300


def test_what_is_logged_after_the_last_epoch_is_of_the_last_epoch() -> None:
    history = [{"val": 0.5}, {"train": 1.0}, {"val": 0.6}, {"test": 0.7}]
    _, rows = imported(*history, metrics={"val": "val", "test": "test", "train": "train"})
    assert [row["val"] for row in rows] == [0.5, 0.6]
    assert rows[-1]["test"] == 0.7 and rows[-1]["train"] == 1.0 and math.isnan(rows[0]["test"])


def test_two_metrics_of_one_name_are_refused() -> None:
    assert metric_names(["val/acc", "loss=l", "val/acc"]) == {"val_acc": "val/acc", "loss": "l"}
    for pair in (["val/acc", "val.acc"], ["a=x", "a=y"], ["a_b", "a b"]):
        with pytest.raises(ValueError, match="would both be called"):
            metric_names(pair)
