"""`ablate status`: runs in every state, from their records alone."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reading_runs import example_json

from ablate.__main__ import run_command
from ablate.commands.status import look, table
from ablate.messages import duration
from ablate.records.run_directory import RunDirectory

NOW = 2_000_000_000.0


def make(study: Path, name: str, done: int, status: str = "running", quiet: float = 0.0, **record: Any) -> None:
    """Writes a run of ten epochs of two seconds each, `quiet` seconds ago."""
    folder = study / name / "seed0-a"
    folder.mkdir(parents=True)
    directory = RunDirectory(folder)
    start = {"host": "elsewhere", "pid": 1, **record.pop("start", {})}
    config = {**example_json()["config"], "train": {"epochs": 10}}
    if status == "complete":
        ends = dict.fromkeys(("final", "maximum", "minimum"), 0.5)
        record["results"] = {
            name: {**ends, "maximum_epoch": 10, "minimum_epoch": 1} for name in ("test_accuracy", "test_loss")
        }
        record["times"] = {"train_seconds": 15.0, "eval_seconds": 4.0, "data_seconds": 1.0, "total_seconds": 20.0}
    content = example_json(status=status, config=config, starts=[start], **record)
    directory.record_file.write_text(json.dumps(content))
    rows = [
        {"epoch": number, "test_accuracy": number / 20, "train_seconds": 1.5, "eval_seconds": 0.4, "data_seconds": 0.1}
        for number in range(1, done + 1)
    ]
    if rows:
        directory.write_epochs(rows)
    for file in folder.iterdir():
        os.utime(file, (NOW - quiet, NOW - quiet))


def only(study: Path) -> Any:
    (found,) = look(study, NOW)
    return found


def test_a_run_that_goes_on_has_its_speed_and_the_time_left(tmp_path: Path) -> None:
    make(tmp_path, "plain", 4)
    found = only(tmp_path)
    assert (found.run, found.status, found.done, found.epochs) == ("plain/seed0-a", "running", 4, 10)
    assert found.seconds == pytest.approx(2.0)
    assert found.left == pytest.approx(12.0)
    assert found.value == 0.2 and found.shown == "20.00 %"
    assert found.place == "elsewhere"


@pytest.mark.parametrize(
    ("done", "quiet", "cohort", "stuck"),
    [(4, 100, None, False), (4, 130, None, True), (4, 130, 20, False), (0, 1000, None, False), (0, 2000, None, True)],
    ids=["patient", "too long", "a cohort's epochs are longer", "first epoch", "no first epoch"],
)
def test_what_is_silent_for_long_is_stuck(
    tmp_path: Path, done: int, quiet: float, cohort: int | None, stuck: bool
) -> None:
    make(tmp_path, "plain", done, quiet=quiet, cohort=cohort)
    found = only(tmp_path)
    assert found.status == ("stuck" if stuck else "running")
    assert found.why.startswith("nothing new for ") == stuck
    if stuck:
        assert found.left is None


def test_a_process_that_is_gone_is_seen_at_once_on_its_own_machine(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    make(tmp_path, "plain", 1, start={"host": platform.node(), "pid": ended.pid})
    assert only(tmp_path).why.startswith("its process is gone")
    make(tmp_path / "other", "plain", 1, start={"host": platform.node(), "pid": os.getpid()})
    assert only(tmp_path / "other").status == "running"


def test_ended_failed_and_unreadable_runs_are_shown_with_the_cause(tmp_path: Path) -> None:
    make(tmp_path, "a", 10, "complete", quiet=1e6)
    make(tmp_path, "b", 3, "failed", error={"message": "the disk is full\nmore"})
    make(tmp_path, "c", 0, "interrupted")
    make(tmp_path, "d", 1)
    (tmp_path / "d" / "seed0-a" / "run.json").write_text("{")
    found = look(tmp_path, NOW)
    assert [run.status for run in found] == ["complete", "failed", "interrupted", "unreadable"]
    assert found[1].why == "the disk is full"
    text = table(found)
    assert "10/10" in text and "50.00 %" in text and "the disk is full" in text
    assert text.endswith("4 runs: 1 complete, 1 failed, 1 interrupted, 1 unreadable")


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "–"), (0.4, "0 s"), (59.6, "1 min 00 s"), (3599, "59 min 59 s"), (7260, "2 h 01 min")]
)
def test_durations_are_readable(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


def test_the_command_shows_a_real_study(
    train_one: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_one(folder="demo/plain/seed0")
    assert run_command(["status", str(tmp_path / "demo"), "--watch", "0.1"]) == 0  # which ends, because all runs have
    assert "1 runs: 1 complete" in capsys.readouterr().out
    assert run_command(["status", str(tmp_path / "nothing")]) == 2
    assert "there are no runs in it" in capsys.readouterr().err
