from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ablate.records.study_directory import StudyDirectory
from ablate.report.analysis.analyse import analyse
from ablate.report.output.sections.runs import times
from ablate.report.study.collect import collect
from ablate.report.study.predictions import Prediction

Make = Callable[..., Path]


def plan(study: Path, cells: Any, day: int = 1) -> str:
    return StudyDirectory(study).write("plan", f"2026-03-0{day}T00:00:00+00:00", {"cells": cells}).name


def cell(run: str, core_seconds: float | None, done: int = 0) -> dict[str, Any]:
    return {"run": run, "done": done, "epochs": 3, "core_seconds": core_seconds}


@pytest.fixture
def runs(make_run: Make, study: Path) -> list[str]:
    """Two runs; an epoch of seed 0 takes 3.5 s, of seed 1 4.5 s, both on 2 threads."""
    return [f"plain/{make_run('plain', seed).name}" for seed in (0, 1)]


def test_a_plan_is_held_against_what_its_epochs_took(runs: list[str], study: Path) -> None:
    # Of the second run one epoch was there already; of a third nothing came, and of a fourth nothing was known.
    file = plan(
        study, [cell(runs[0], 25.2), cell(runs[1], 9.0, done=1), cell("x/seed0-0", 5.0), cell("x/seed1-0", None)]
    )
    found = collect(study).prediction
    assert found == Prediction(file, 2, pytest.approx(34.2), pytest.approx(21 + 18), pytest.approx(0.5))


def test_the_newest_plan_with_a_complete_run_counts(runs: list[str], study: Path) -> None:
    first = plan(study, [cell(runs[0], 21.0)])
    plan(study, [cell("x/seed0-0", 5.0)], day=2)
    found = collect(study).prediction
    assert found is not None and found.file == first
    assert found.largest == pytest.approx(0)


def test_the_report_says_how_far_it_was_off(runs: list[str], study: Path) -> None:
    from ablate.report.output.csv_files import frames

    plan(study, [cell(run, 2 * 21.0) for run in runs])
    analysis = analyse(collect(study))
    said = [block.words for block in times(analysis, frames(analysis)) if hasattr(block, "words")]
    assert any(
        "Before 2 runs of these, 0.023 core-hours were predicted, and 0.013 were taken" in str(text) for text in said
    )
    assert any("the prediction was 75% too high, for one run at most 100%" in str(text) for text in said)


@pytest.mark.parametrize("cells", [[], [cell("x/seed0-0", 5.0)], [cell("x/seed0-0", None)]])
def test_a_plan_of_other_runs_is_no_run_left_out(runs: list[str], study: Path, cells: list[Any]) -> None:
    plan(study, cells)
    found = collect(study)
    assert (found.prediction, found.broken, found.left_out) == (None, {}, 0)


@pytest.mark.parametrize("cells", [5, [{}], [{"run": "a", "core_seconds": 1.0}, 3]])
def test_what_is_no_plan_is_named_and_left_out(runs: list[str], study: Path, cells: Any) -> None:
    file = plan(study, cells)
    found = collect(study)
    assert found.prediction is None
    assert found.broken[f"plan/{file}"].startswith("cannot be read as a plan")
    assert found.left_out == 0
