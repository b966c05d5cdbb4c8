"""Cohorts against runs trained alone, and the launcher as Hydra and its users meet it."""

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hydra.test_utils.launcher_common_tests import IntegrationTestSuite, LauncherTestSuite
from hydra.version import VersionBase
from packaging.version import Version
from reading_runs import equal, record_of, results_of, weights_of
from warm import Server

from ablate.__main__ import run_command
from ablate.config.identity import run_id
from ablate.config.schema import Config
from ablate.records.run_directory import RunDirectory
from ablate.report.study.collect import collect
from ablate.runs import recorder
from ablate.runs.job import Job
from ablate.runs.progress import Progress
from ablate.runs.run import run
from ablate.sweeps.cohorts import plan, train_cohort
from ablate.training.checkpoint import save_checkpoint

Compose = Callable[..., Config]
COMMAND, ANOTHER = "1", "2"  # identities of commands
VARIANTS = ("plain", "dropout", "bn_dropout")


def members(quick: Compose, folder: Path, *overrides: str, variants: Sequence[str] = VARIANTS) -> list[Job]:
    cfgs = [quick(f"model={variant}", *overrides) for variant in variants]
    return [Job(cfg, folder / f"{cfg.model.name}{number}", ()) for number, cfg in enumerate(cfgs)]


def train(cohort: Sequence[Job], command: str = COMMAND) -> list[float]:
    shares: list[float] = []
    train_cohort(cohort, command, shares.append)
    return shares


def assert_close(one: Path, other: Path) -> None:
    for row, expected in zip(results_of(one), results_of(other), strict=True):
        assert row == pytest.approx(expected, rel=2e-3, abs=0.0101)  # an image or two may fall otherwise


def test_a_cohorts_runs_are_those_of_single_runs(quick: Compose, tmp_path: Path) -> None:
    cohort = members(quick, tmp_path / "cohort")
    assert sum(train(cohort)) == pytest.approx(3)
    for member, alone in zip(cohort, members(quick, tmp_path / "alone"), strict=True):
        alone.folder.mkdir(parents=True)
        run(alone, Progress())
        assert_close(member.folder, alone.folder)
        record, expected = record_of(member.folder), record_of(alone.folder)
        assert record["status"] == "complete" and record["cohort"] == 3
        for key in ("id", "pairing", "data", "config", "variant", "seed"):
            assert record[key] == expected[key]
        assert RunDirectory(member.folder).checkpoint_file.stat().st_size < 1.1 * (
            RunDirectory(alone.folder).checkpoint_file.stat().st_size
        )
        assert not RunDirectory(member.folder).lock_file.exists()


def test_a_job_finds_its_finished_record(quick: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cohort = members(quick, tmp_path, "rerun=all")
    train(cohort)
    before = RunDirectory(cohort[0].folder).record_file.read_bytes()
    run(cohort[0], Progress(), command=COMMAND)
    assert RunDirectory(cohort[0].folder).record_file.read_bytes() == before


def stop(cohort: Sequence[Job], member: int, epoch: int, patch: pytest.MonkeyPatch) -> None:
    """Trains a cohort until the epoch of a member, counted from 0, would be saved."""

    def save_some(state: dict[str, Any], directory: RunDirectory, rows: list[dict[str, float]]) -> None:
        if len(rows) == epoch and directory.folder == cohort[member].folder:
            raise KeyboardInterrupt
        save_checkpoint(state, directory, rows)

    with patch.context() as context:
        context.setattr(recorder, "save_checkpoint", save_some)
        with pytest.raises(KeyboardInterrupt):
            train(cohort)
    assert {record_of(job.folder)["status"] for job in cohort} == {"interrupted"}


def assert_same(cohort: Sequence[Job], expected: Sequence[Job]) -> None:
    for one, other in zip(cohort, expected, strict=True):
        assert record_of(one.folder)["status"] == "complete"
        assert results_of(one.folder) == results_of(other.folder)
        assert equal(weights_of(one.folder), weights_of(other.folder))
        assert not changed_company(one)


def changed_company(job: Job) -> bool:
    record = job.directory.read_record()
    assert record is not None
    return record.changed_company


@pytest.fixture(scope="module")
def whole(quick: Compose, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """An undisturbed cohort of three epochs, which no test changes."""
    cohort = members(quick, tmp_path_factory.mktemp("whole"), *THREE)
    train(cohort)
    return cohort


THREE = ("train.epochs=3",)


def test_a_cohort_that_was_stopped_ends_with_the_same_numbers(
    whole: list[Job], quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is stopped: also before all have an epoch, twice, and with some at an epoch that others lack."""
    for number, stops in enumerate([[(1, 1)], [(1, 2), (2, 2), (1, 2)], [(0, 2), (2, 3)], [(1, 3), (0, 3)]]):
        cohort = members(quick, tmp_path / str(number), *THREE)
        for member, epoch in stops:
            stop(cohort, member, epoch, monkeypatch)
        train(cohort, ANOTHER)
        assert_same(cohort, whole)


def test_a_cohort_that_was_stopped_as_it_ended_is_complete(
    whole: list[Job], quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run is complete, of the others all epochs are there: nothing is left to train, by their own jobs either."""
    cohort = members(quick, tmp_path / "stopped", *THREE)
    with monkeypatch.context() as patch:
        complete = recorder.Recorder.complete

        def complete_one(self: recorder.Recorder) -> None:
            if self.job.name != "plain seed 0":
                raise KeyboardInterrupt
            complete(self)

        patch.setattr(recorder.Recorder, "complete", complete_one)
        with pytest.raises(KeyboardInterrupt):
            train(cohort)
    run(cohort[1], Progress())
    train(cohort, ANOTHER)
    assert_same(cohort, whole)
    assert [record_of(job.folder)["cohort"] for job in cohort] == [3, 3, 3]


@pytest.mark.parametrize("file", ["checkpoint_file", "record_file"])
def test_a_damaged_file_costs_a_cohort_epochs_and_no_number(
    file: str, whole: list[Job], quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = members(quick, tmp_path / "stopped", *THREE)
    stop(cohort, 1, 3, monkeypatch)
    damaged = getattr(cohort[2].directory, file)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    train(cohort, ANOTHER)
    assert_same(cohort, whole)


def test_a_member_that_diverged_is_part_of_the_company_it_left(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the epoch in which it diverges, and in the one after; the others end as if it had not been stopped."""

    def cohort_in(folder: str) -> list[Job]:
        cohort = members(quick, tmp_path / folder, *THREE, "optimizer=sgd", "optimizer.lr=0.01")
        cohort[1].cfg.optimizer.lr = 1e30
        return cohort

    expected = cohort_in("whole")
    train(expected)
    for stopped_in in (1, 2):
        cohort = cohort_in(str(stopped_in))
        with monkeypatch.context() as patch:

            def save_some(state: dict[str, Any], directory: RunDirectory, rows: list[dict[str, float]]) -> None:
                if len(rows) == stopped_in and directory.folder == cohort[2].folder:  # noqa: B023
                    raise KeyboardInterrupt
                save_checkpoint(state, directory, rows)

            patch.setattr(recorder, "save_checkpoint", save_some)
            with pytest.raises(KeyboardInterrupt):
                train(cohort)
        assert record_of(cohort[1].folder)["status"] == "diverged"
        train(cohort, ANOTHER)
        assert_same([cohort[0], cohort[2]], [expected[0], expected[2]])
        assert record_of(cohort[1].folder)["status"] == "diverged"


def test_who_was_not_in_the_company_does_not_join_it(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variant that is added, and one that was begun alone, are trained as they would have been."""
    pair, alone = ("plain", "dropout"), ("bn_dropout", "bn")
    expected = members(quick, tmp_path / "whole", *THREE, variants=pair)
    train(expected)
    for each in members(quick, tmp_path / "whole_alone", *THREE, variants=alone):
        each.folder.mkdir(parents=True)
        run(each, Progress())
        expected.append(each)
    cohort = members(quick, tmp_path / "stopped", *THREE, variants=(*pair, *alone))
    stop(cohort[:2], 0, 3, monkeypatch)
    stop(cohort[2:3], 0, 2, monkeypatch)
    train(cohort, ANOTHER)
    assert record_of(cohort[2].folder)["status"] == "interrupted", "its own job resumes it"
    run(cohort[2], Progress(), command=ANOTHER)
    assert_same(cohort, expected)


@pytest.mark.usefixtures("undrawn")
def test_a_run_that_was_begun_in_a_cohort_and_finished_alone_says_so(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    study = tmp_path / "demo"
    cohort = [
        replace(member, folder=study / member.cfg.model.name / f"seed0-{run_id(member.cfg)}")
        for member in members(quick, tmp_path, *THREE)
    ]
    stop(cohort, 0, 3, monkeypatch)
    run(cohort[0], Progress())  # alone
    assert "plain seed 0 resumes after epoch 2, alone; it was begun in a cohort" in caplog.text
    train(cohort)  # what is left of the company
    assert [changed_company(job) for job in cohort] == [True, True, True]
    assert [record_of(job.folder)["cohort"] for job in cohort] == [3, 2, 2]
    assert run_command(["report", str(study)]) == 0
    page = (study / "report" / "report.md").read_text()
    assert "3 runs were begun in a cohort and finished alone or in another" in page


@pytest.mark.parametrize("years", [-1, 1])
def test_no_clock_tells_what_a_command_has_trained(
    years: int, quick: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`rerun=all` restarts what another command has ended, whatever its clock, and keeps what it has ended itself."""
    cohort = members(quick, tmp_path, "rerun=all")

    def trained() -> list[int]:
        return [len(record_of(job.folder)["starts"]) for job in cohort]

    train(cohort)
    for job in cohort:
        record = record_of(job.folder)
        shifted = str(int(record["ended"][:4]) + years) + record["ended"][4:]
        record["starts"][-1]["ended"] = shifted
        RunDirectory(job.folder).record_file.write_text(json.dumps({**record, "ended": shifted}))
    before = [RunDirectory(job.folder).record_file.read_bytes() for job in cohort]
    train(cohort)
    run(cohort[0], Progress(), command=COMMAND)
    assert [RunDirectory(job.folder).record_file.read_bytes() for job in cohort] == before
    train(cohort, ANOTHER)
    assert all(record_of(job.folder)["starts"][0]["command"] == ANOTHER for job in cohort)
    run(cohort[0], Progress(), command="3")
    assert [record_of(job.folder)["starts"][0]["command"] for job in cohort] == ["3", ANOTHER, ANOTHER]
    assert trained() == [1, 1, 1]


def test_epochs_saved_while_the_next_goes_on_are_the_same(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an accelerator: a run goes on while a thread saves, and an epoch that cannot be saved stops it."""
    options = ("train.epochs=3",)
    expected, saved, stopped = (members(quick, tmp_path / name, *options) for name in ("now", "later", "stopped"))
    train(expected)
    with monkeypatch.context() as patch:
        patch.setattr(recorder, "_saver", lambda device: ThreadPoolExecutor(1))
        train(saved)
        for member, other in zip(saved, expected, strict=True):
            assert results_of(member.folder) == results_of(other.folder)
            assert equal(weights_of(member.folder), weights_of(other.folder))

        def fail_once(state: dict[str, Any], directory: RunDirectory, rows: list[dict[str, float]]) -> None:
            if len(rows) == 2 and directory.folder == stopped[1].folder:
                raise OSError("the disk is full")
            save_checkpoint(state, directory, rows)

        patch.setattr(recorder, "save_checkpoint", fail_once)
        train(stopped)
    assert [len(results_of(member.folder)) for member in stopped] == [2, 1, 2], "no two an epoch more apart"
    train(stopped)
    assert_same(stopped, expected)


def test_a_cohort_repeats_bit_for_bit(quick: Compose, tmp_path: Path) -> None:
    one, other = members(quick, tmp_path / "one"), members(quick, tmp_path / "other")
    train(one)
    train(other)
    for first, second in zip(one, other, strict=True):
        assert results_of(first.folder) == results_of(second.folder)
        assert equal(weights_of(first.folder), weights_of(second.folder))


def test_a_member_that_diverges_leaves_the_others(quick: Compose, tmp_path: Path) -> None:
    cohort = members(quick, tmp_path, "optimizer=sgd", "optimizer.lr=0.01")
    cohort[1].cfg.optimizer.lr = 1e30
    train(cohort)
    assert [record_of(member.folder)["status"] for member in cohort] == ["complete", "diverged", "complete"]
    assert record_of(cohort[1].folder)["error"]["epoch"] == 1


def test_what_another_process_works_on_is_left_to_it(quick: Compose, tmp_path: Path) -> None:
    cohort = members(quick, tmp_path)
    cohort[0].folder.mkdir(parents=True)
    with RunDirectory(cohort[0].folder).lock():
        train(cohort)
    assert RunDirectory(cohort[0].folder).read_record() is None
    assert [record_of(member.folder)["cohort"] for member in cohort[1:]] == [2, 2]


def test_a_cohort_that_fails_leaves_its_runs_to_the_jobs(
    quick: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = members(quick, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("ablate.sweeps.cohorts.fit", lambda *arguments: 1 / 0)
        train(cohort)
    assert (
        "a cohort failed; its runs are trained alone (plain seed 0, dropout seed 0, bn_dropout seed 0)" in caplog.text
    )
    assert run(cohort[0], Progress(), command=COMMAND) > 0
    assert record_of(cohort[0].folder)["status"] == "complete"


def test_plans(quick: Compose, tmp_path: Path) -> None:
    jobs = [
        *members(quick, tmp_path, "seed=0"),
        *members(quick, tmp_path, "seed=1"),
        *members(quick, tmp_path, "seed=2"),
    ]
    other = members(quick, tmp_path, "train.epochs=1", variants=["plain"])

    def sizes(jobs: Sequence[Job], most: int, processes: int) -> list[int]:
        cohorts = plan(jobs, most, processes)
        assert all(len({(member.cfg.seed, member.cfg.train.epochs) for member in cohort}) == 1 for cohort in cohorts)
        return [len(cohort) for cohort in cohorts]

    assert sizes(jobs, 8, 1) == [3, 3, 3]
    assert sizes(jobs, 2, 1) == [2, 1, 2, 1, 2, 1]
    assert sizes(jobs, 8, 2) == [3, 3, 2, 1]  # neither process is without work
    assert sizes([*jobs[:3], *other], 8, 2) == [3, 1]
    assert sizes(other, 8, 1) == [1]


def test_times_of_cohorts_are_not_compared(quick: Compose, tmp_path: Path) -> None:
    study = tmp_path / "demo"
    cohort = [
        Job(member.cfg, study / member.cfg.model.name / f"seed0-{number}", ())
        for number, member in enumerate(members(quick, tmp_path))
    ]
    train(cohort)
    runs = collect(study).runs
    assert len(runs) == len(set(runs["clock"])) == 3


def test_a_sweep_in_cohorts(ablate: Callable[..., "CompletedProcess[str]"], tmp_path: Path) -> None:
    command = (
        "-m", "study=demo", "data.subset=30", "train.epochs=2", "train.batch_size=64", "hardware=cpu", "seed=0,1",
        "model=plain,bn", "hydra/launcher=cohort", "hydra.launcher.processes=2",
    )  # fmt: skip
    done = ablate(*command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("training loss") == 8, "every epoch is trained once"
    assert done.stdout.count("after 2 epochs") == 4
    paths = sorted(tmp_path.rglob("run.json"))
    assert [json.loads(path.read_text())["cohort"] for path in paths] == [2] * 4
    assert all((path.parent / "train.log").is_file() for path in paths)
    again = ablate(*command)
    assert again.stdout.count("is complete already") == 4 and "training loss" not in again.stdout


def test_workers_end_with_the_command_that_started_them(warm: Server, tmp_path: Path) -> None:
    command = ("study=demo", "train.epochs=500", "hardware=cpu", "seed=0,1", "model=plain,bn", "hydra/launcher=cohort")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = warm.popen(
        "ablate", "-m", *command, "hydra.launcher.processes=2",
        cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def records() -> list[Any]:
        return [record_of(path.parent) for path in tmp_path.rglob("run.json")]

    try:
        while not (len(records()) == 4 and len(list(tmp_path.rglob("epochs.csv"))) == 4):
            assert process.poll() is None
            time.sleep(0.05)
        process.kill()  # it alone
        process.wait()
        while {record["status"] for record in records()} != {"interrupted"}:
            time.sleep(0.1)
        messages = {record["error"]["message"] for record in records()}
        assert messages == {"the command that started this process is gone"}
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


# The suite's applications name no version of Hydra, which warns of what later versions change.
hydras_own = pytest.mark.filterwarnings("ignore:Future Hydra versions:UserWarning", "ignore:\\s*The version_base")


@pytest.fixture
def first_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite's applications expect what Hydra does where no version was set, and other tests have set one."""
    monkeypatch.setattr(VersionBase.instance(), "version_base", Version("1.1"))


@hydras_own
@pytest.mark.usefixtures("first_version")
@pytest.mark.parametrize(("launcher_name", "overrides"), [("cohort", ["hydra.launcher.processes=1"]), ("cohort", [])])
class TestHydrasOwnSuite(LauncherTestSuite):
    pass


@hydras_own
@pytest.mark.parametrize("task_launcher_cfg", [{}])
@pytest.mark.parametrize("extra_flags", [["-m", "hydra/launcher=cohort"]])
class TestHydrasIntegration(IntegrationTestSuite):
    pass
