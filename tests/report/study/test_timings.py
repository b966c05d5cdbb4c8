from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_config import CONFIG
from scipy import stats

from ablate.records.study_directory import StudyDirectory
from ablate.report.analysis.analyse import Analysis, analyse
from ablate.report.analysis.comparisons import Question
from ablate.report.study.collect import collect

Make = Callable[..., Path]
LAYER = {"_target_": "torch.nn.Identity"}
EDIT = {"x": {"insert": "after", "at": "c1", "layer": LAYER}}
PLAIN, WITH_X = [1.0, 1.1, 0.9, 1.0, 1.05, 1.0, 0.98], [1.2, 1.3, 1.1, 1.25, 1.26, 1.2, 1.18]


def config(name: str, edits: dict[str, Any], **train: Any) -> dict[str, Any]:
    return {**CONFIG, "model": {**CONFIG["model"], "name": name, "edits": edits}, "train": {**CONFIG["train"], **train}}


def write(study: Path, timed: Sequence[tuple[dict[str, Any], list[float]]], day: int = 1, **changes: Any) -> Path:
    return StudyDirectory(study).write(
        "timing",
        f"2026-02-0{day}T00:00:00+00:00",
        {
            "disturbed": 2,
            "provenance": {"machine": {"cpu": "CPU"}, "accelerator": "cpu", "threads": 1},
            "variants": [
                {
                    "name": cfg["model"]["name"],
                    "config": cfg,
                    "seconds": {"train_seconds": seconds, "eval_seconds": seconds, "total_seconds": seconds},
                    "layers": [{"layer": "c1", "kind": "Conv2d", "forward": 0.001, "backward": 0.002}],
                }
                for cfg, seconds in timed
            ],
            **changes,
        },
    )


@pytest.fixture
def runs(make_run: Make, study: Path) -> Path:
    for seed in range(3):
        make_run("plain", seed)
        make_run("x", seed, edits=EDIT)
    return study


def answer(analysis: Analysis, metric: str = "total_seconds") -> Any:
    return analysis.answers[Question(metric, "x", "plain")]


def test_a_timing_of_both_variants_takes_the_place_of_the_runs_clocks(runs: Path) -> None:
    # The number of epochs changes no step, and the settings of a layer do.
    file = write(runs, [(config("plain", {}, epochs=99), PLAIN), (config("x", EDIT), WITH_X)])
    found = answer(analyse(collect(runs)))
    assert (found.timing, found.pairs, found.comparison.pairs) == (file.name, "round", 7)
    logs = np.log(WITH_X) - np.log(PLAIN)
    assert found.comparison.mean == pytest.approx(logs.mean())
    assert found.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)
    assert answer(analyse(collect(runs)), "test_accuracy").pairs == "seed"


@pytest.mark.parametrize(
    "other",
    [config("x", {"x": {**EDIT["x"], "insert": "before"}}), config("x", EDIT, batch_size=9)],
    ids=["edit", "batch size"],
)
def test_a_timing_of_something_else_does_not(runs: Path, other: dict[str, Any]) -> None:
    write(runs, [(config("plain", {}), PLAIN), (other, WITH_X)])
    assert answer(analyse(collect(runs))).pairs == "seed"


def test_the_newest_timing_that_has_both_counts(runs: Path) -> None:
    both = write(runs, [(config("plain", {}), PLAIN), (config("x", EDIT), WITH_X)])
    write(runs, [(config("plain", {}), PLAIN)], day=2)
    assert answer(analyse(collect(runs))).timing == both.name


@pytest.mark.parametrize(
    "changes", [{"variants": 5}, {"disturbed": None}, {"provenance": {}}, {"variants": [{"config": {}}]}]
)
def test_a_timing_that_cannot_be_read_is_named_and_left_out(runs: Path, changes: dict[str, Any]) -> None:
    file = write(runs, [(config("plain", {}), PLAIN), (config("x", EDIT), WITH_X)], **changes)
    study = collect(runs)
    assert study.broken[f"timing/{file.name}"].startswith("cannot be read as a timing")
    assert answer(analyse(study)).pairs == "seed"


def test_times_that_are_none_are_named(runs: Path) -> None:
    file = write(runs, [(config("plain", {}), PLAIN), (config("x", EDIT), [0.0, *WITH_X[1:]])])
    assert "a time is not a number above 0" in collect(runs).broken[f"timing/{file.name}"]
    file = write(runs, [(config("plain", {}), PLAIN), (config("x", EDIT), WITH_X[1:])], day=2)
    assert "different numbers of rounds" in collect(runs).broken[f"timing/{file.name}"]


def test_effects_on_time_rest_on_a_timing_of_all_cells(make_run: Make, study: Path) -> None:
    cells: dict[str, dict[str, Any]] = {
        "plain": {},
        "x": EDIT,
        "y": {"y": {"freeze": "c1"}},
        "xy": {**EDIT, "y": {"freeze": "c1"}},
    }
    for seed in range(2):
        for name, edits in cells.items():
            make_run(name, seed, edits=edits)
    factors = {"plain": 1.0, "x": 1.2, "y": 1.5, "xy": 1.2 * 1.5}
    noise = np.exp(np.random.default_rng(0).normal(0, 0.001, (4, 9)))
    file = write(
        study,
        [
            (config(name, edits), [*(factor * spread)])
            for (name, edits), factor, spread in zip(cells.items(), factors.values(), noise, strict=True)
        ],
    )
    (found,) = (each for each in analyse(collect(study)).factorials if each.metric == "train_seconds")
    assert found.timing == file.name
    assert len(found.pairs) == 9
    by_factors = {effect.factors: effect for effect in found.effects}
    assert by_factors[("x",)].evidence.mean == pytest.approx(np.log(1.2), abs=0.002)
    assert by_factors[("x", "y")].evidence.mean == pytest.approx(0, abs=0.003)
