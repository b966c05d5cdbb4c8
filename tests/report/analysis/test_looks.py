"""Which test a study takes, by the plans of its runs and by what is declared."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ablate.records.record import Plan, RunRecord, Start
from ablate.records.run_directory import RunDirectory
from ablate.report.analysis.analyse import analyse
from ablate.report.analysis.looks import looks
from ablate.report.study.collect import collect
from ablate.report.study.definition import Definition
from ablate.stats import Test

Make = Callable[..., Path]


@pytest.fixture
def a_run(make_run: Make) -> RunRecord:
    record = RunDirectory(make_run("plain", 0)).read_record()
    assert record is not None
    return record


def run(record: RunRecord, minute: int, seeds: tuple[int, ...] | None, settles: bool = False) -> RunRecord:
    """A run that was started in a minute and took another one."""
    plan = None if seeds is None else Plan(seeds=seeds, settles=settles)
    begun, ended = (f"2026-01-01T00:{at:02}:00+00:00" for at in (minute, minute + 1))
    return replace(record, started=begun, ended=ended, starts=(Start(started=begun, plan=plan),))


@pytest.mark.parametrize(
    ("runs", "test", "why"),
    [
        ([(0, None)], Test.FIXED, "nothing is recorded"),
        ([(0, (0, 1)), (5, (0, 1))], Test.FIXED, "all seeds came in one sweep"),
        ([(0, (0, 1)), (0, (0, 1, 2))], Test.FIXED, "all seeds came in one sweep"),  # before anything was known
        ([(0, (0, 1)), (5, (2,))], Test.ANYTIME, "the seeds came in 2 sweeps, one after another"),
        ([(0, (0, 1)), (5, (2,)), (9, (3, 4))], Test.ANYTIME, "the seeds came in 3 sweeps"),
        ([(0, (0, 1)), (5, None)], Test.FIXED, "all seeds came in one sweep"),
    ],
)
def test_seeds_that_came_after_results_are_several_looks(
    a_run: RunRecord, runs: list[tuple[int, tuple[int, ...] | None]], test: Test, why: str
) -> None:
    found = looks(Definition("s"), [run(a_run, *each) for each in runs])
    assert found.test is test and found.why.startswith(why)


def test_a_sweep_that_settles_looks_again_and_again(a_run: RunRecord) -> None:
    assert looks(Definition("s"), [run(a_run, 0, (0, 1), settles=True)]).test is Test.ANYTIME


def test_what_is_declared_decides(a_run: RunRecord) -> None:
    several = [run(a_run, 0, (0, 1)), run(a_run, 5, (2,))]
    for test in Test:
        assert looks(Definition("s", test=test.value), several).test is test


@pytest.mark.parametrize(
    ("declared", "definition", "warning"),
    [
        ({"metric": "test_loss"}, {}, "made with study.metric=test_loss, and this report judges with test_accuracy"),
        ({"test": "fixed"}, {"test": "anytime"}, "made with study.test=fixed, and this report judges with anytime"),
        ({"margin": None}, {"margin": 0.1}, "made without study.margin, and this report judges with 0.1"),
        ({"margin": 0.1}, {}, "made with study.margin=0.1, and this report judges without"),
        ({"pairing": "paired"}, {"pairing": "unpaired"}, "made with study.pairing=paired"),
        ({"metric": "test_accuracy", "margin": None}, {}, ""),
        ({}, {"margin": 0.1}, ""),  # runs of before, which could not say
    ],
)
def test_a_choice_after_the_fact_is_warned_of(
    a_run: RunRecord, declared: dict[str, Any], definition: dict[str, Any], warning: str
) -> None:
    found = looks(Definition("s", declared=declared, **definition), [run(a_run, 0, (0,))])
    assert len(found.warnings) == bool(warning) and warning in "".join(found.warnings)


def test_sweeps_of_the_same_seeds_are_one_look_whatever_else_they_say(a_run: RunRecord) -> None:
    first, second = run(a_run, 0, (0, 1)), run(a_run, 5, (0, 1))
    other = replace(second.starts[0], plan=Plan(seeds=(0, 1), own_variant="another"))
    assert looks(Definition("s"), [first, replace(second, starts=(other,))]).test is Test.FIXED


def test_unpaired_is_for_one_look(a_run: RunRecord) -> None:
    several = [run(a_run, 0, (0, 1)), run(a_run, 5, (2,))]
    assert not looks(Definition("s", pairing="unpaired"), several[:1]).warnings
    (warning,) = looks(Definition("s", pairing="unpaired"), several).warnings
    assert "takes pairs" in warning


def test_a_resumed_run_keeps_the_plan_of_its_first_epoch(a_run: RunRecord) -> None:
    first, second = (Start(plan=Plan(seeds=seeds), epochs=epochs) for seeds, epochs in (((0, 1), 0), ((0, 1, 2), 3)))
    assert replace(a_run, starts=(first, second)).plan == Plan(seeds=(0, 1))
    assert replace(a_run, starts=(first, replace(second, epochs=0))).plan == Plan(seeds=(0, 1, 2))  # restarted
    assert replace(a_run, starts=()).plan is None


def test_unpaired_variants_are_compared_with_all_their_runs(make_run: Make, study: Path) -> None:
    for seed in range(3):
        make_run("plain", seed, study={"pairing": "unpaired"})
    for seed in range(2, 6):
        make_run("bn", seed, edits={"bn1": {}}, study={"pairing": "unpaired"})
    analysis = analyse(collect(study))
    (answer,) = [found for question, found in analysis.answers.items() if question.metric == "test_accuracy"]
    assert answer.evidence.pairs == 3  # of the variant with fewer; one seed is common
    assert answer.comparison.pairs == 1
    assert analysis.study.definition.pairing == "unpaired" and not analysis.looks.warnings
