"""What a command does with runs that are there already."""

import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from reading_runs import equal, example_record, record_of, results_of, weights_of

from ablate.config.schema import Config
from ablate.records import provenance
from ablate.records.record import Code, Status
from ablate.records.run_directory import Busy, RunDirectory, RunFailed
from ablate.runs import recorder
from ablate.runs.job import Job
from ablate.runs.progress import Progress
from ablate.runs.resume import Action, decide
from ablate.runs.run import run

Train = Callable[..., Path]


def change(folder: Path, **values: Any) -> None:
    """Changes a record by hand, as another version would have written it."""
    RunDirectory(folder).record_file.write_text(json.dumps({**record_of(folder), **values}))


def other_code(folder: Path) -> None:
    found = record_of(folder)["provenance"]
    change(folder, provenance={**found, "code": {"sources": {"ablate": "0" * 16}}})


@pytest.mark.parametrize(
    ("status", "stale", "expected"),
    [
        # for rerun = never, failed, stale, all
        ("complete", False, ["KEEP", "KEEP", "KEEP", "START"]),
        ("complete", True, ["KEEP", "KEEP", "START", "START"]),
        ("failed", False, ["LEAVE", "RESUME", "RESUME", "START"]),
        ("diverged", False, ["LEAVE", "RESUME", "RESUME", "START"]),
        ("failed", True, ["LEAVE", "START", "START", "START"]),
        ("interrupted", False, ["RESUME", "RESUME", "RESUME", "START"]),
        ("running", False, ["RESUME", "RESUME", "RESUME", "START"]),
        ("running", True, ["START", "START", "START", "START"]),
    ],
)
def test_the_table_of_decisions(status: str, stale: bool, expected: list[str], tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.write_epochs([{"epoch": 1.0}])
    record = replace(example_record(), status=Status(status), config={"train": {"epochs": 1}})
    found = [
        decide(directory, record, ["other data"] if stale else [], rerun)[0]
        for rerun in ("never", "failed", "stale", "all")
    ]
    assert found == [Action[name] for name in expected]
    assert decide(directory, None, [], "never")[0] is Action.START


def test_a_stale_run_is_kept_and_marked_and_run_anew_on_request(
    train_one: Train, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = train_one()
    expected = results_of(folder)
    other_code(folder)
    train_one()
    assert "stale: other code of ablate; rerun=stale restarts it" in caplog.text
    assert record_of(folder)["stale"] == ["other code of ablate"]
    assert record_of(folder)["provenance"]["code"]["sources"]["ablate"] == "0" * 16
    train_one("rerun=stale")
    assert "stale" not in record_of(folder)
    assert record_of(folder)["provenance"]["code"]["sources"] == provenance.collect().code.sources
    assert results_of(folder) == expected


def test_what_makes_a_run_stale(train_one: Train) -> None:
    record = RunDirectory(train_one()).read_record()
    assert record is not None and record.data is not None
    digest, packages = str(record.data.sha256), record.provenance.packages
    assert provenance.stale(record, digest) == []
    assert provenance.stale(record, "other") == ["other data"]
    # Another hydra-core changes no result.
    other = replace(record.provenance, packages={**packages, "torch": "1.0", "hydra-core": "1.0"})
    changed = replace(record, provenance=other)
    assert provenance.stale(changed, digest) == [f"torch 1.0, now {torch.__version__.split('+')[0]}"]
    unknown = replace(record, provenance=replace(record.provenance, code=Code()))
    assert provenance.stale(unknown, digest) == ["other code of ablate"]


def test_an_unfinished_run_of_other_code_starts_anew(
    train_one: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    whole = train_one("train.epochs=3", folder="whole")
    folder = stopped(train_one, tmp_path / "run", monkeypatch, KeyboardInterrupt())
    other_code(folder)
    train_one("train.epochs=3")
    assert "was interrupted under other conditions (other code of ablate), and is restarted" in caplog.text
    assert "resumes after" not in caplog.text
    assert len(record_of(folder)["starts"]) == 1
    assert results_of(folder) == results_of(whole)


def stopped(train_one: Train, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> Path:
    """A run of three epochs that stops while it saves the third."""
    save = recorder.save_checkpoint

    def save_two(state: Any, directory: RunDirectory, rows: Any) -> None:
        if len(rows) == 3:
            raise error
        save(state, directory, rows)

    with monkeypatch.context() as patch:
        patch.setattr(recorder, "save_checkpoint", save_two)
        with pytest.raises((RunFailed, KeyboardInterrupt)) as caught:
            train_one("train.epochs=3", folder=folder.name)
    assert caught.value is error or caught.value.__cause__ is error
    return folder


@pytest.mark.parametrize(
    ("damage", "goes_on_after"),
    [
        (lambda directory: directory.checkpoint_file.write_bytes(b"torn"), 1),
        (lambda directory: directory.checkpoint_file.write_bytes(b""), 1),
        (lambda directory: flip(directory.checkpoint_file), 1),
        (lambda directory: directory.checkpoint_file.unlink(), 1),
        (lambda directory: directory.epochs_file.write_bytes(directory.epochs_file.read_bytes()[:-9]), 2),
        (lambda directory: directory.epochs_file.unlink(), 2),
    ],
)
def test_a_damaged_file_costs_at_most_an_epoch(
    damage: Callable[[RunDirectory], object],
    goes_on_after: int,
    train_one: Train,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    whole = train_one("train.epochs=3", folder="whole")
    folder = stopped(train_one, tmp_path / "run", monkeypatch, KeyboardInterrupt())
    damage(RunDirectory(folder))
    train_one("train.epochs=3")
    assert f"resumes after epoch {goes_on_after}" in caplog.text
    assert results_of(folder) == results_of(whole)
    assert equal(weights_of(folder), weights_of(whole))
    assert record_of(folder)["final_weights"] == record_of(whole)["final_weights"]


def flip(file: Path) -> None:
    """Changes one bit of the weights."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_the_table_of_a_complete_run_is_restored(train_one: Train) -> None:
    folder = train_one()
    expected = results_of(folder)
    RunDirectory(folder).epochs_file.write_text("epoch,lo")
    train_one()
    assert results_of(folder) == expected


def test_leftovers_of_a_killed_run_go(train_one: Train) -> None:
    folder = train_one()
    (folder / ".epochs.csv.999.part").write_text("half")
    RunDirectory(folder).lock_file.write_text("")
    train_one()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt", "epochs.csv", "run.json"]


def test_a_failure_says_its_epoch_and_is_tried_again(
    train_one: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped(train_one, tmp_path / "run", monkeypatch, OSError(28, "No space left on device"))
    record = record_of(folder)
    assert (record["status"], record["error"]["epoch"], record["error"]["type"]) == ("failed", 3, "OSError")
    with pytest.raises(RunFailed, match=r"plain seed 0 failed: before, and rerun=never leaves it so"):
        train_one("train.epochs=3", "rerun=never")
    train_one("train.epochs=3")
    record = record_of(folder)
    assert record["status"] == "complete" and "error" not in record
    assert [start["started"] <= start["ended"] for start in record["starts"]] == [True, True]
    assert record["started"] == record["starts"][0]["started"]


@pytest.mark.parametrize(
    ("failures", "retries", "succeeds"), [(1, 0, False), (1, 1, True), (2, 1, False), (2, 3, True)]
)
def test_retries(
    failures: int, retries: int, succeeds: bool, train_one: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = results_of(train_one("model=bn_dropout", folder="whole"))
    save, left = recorder.save_checkpoint, [failures]

    def save_sometimes(state: Any, directory: RunDirectory, rows: Any) -> None:
        if len(rows) == 2 and left[0]:
            left[0] -= 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        save(state, directory, rows)

    monkeypatch.setattr(recorder, "save_checkpoint", save_sometimes)
    overrides = ("model=bn_dropout", f"train.max_retries={retries}")
    if succeeds:
        assert results_of(train_one(*overrides)) == expected
        assert [error["epoch"] for error in record_of(tmp_path / "run")["retries"]] == [2] * failures
    else:
        with pytest.raises(RunFailed, match=r"out of memory\nThe memory is full: take a smaller train.batch_size"):
            train_one(*overrides)
        assert len(record_of(tmp_path / "run").get("retries", [])) == retries


def test_a_divergence_is_not_tried_again(train_one: Train, tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="the loss is not finite"):
        train_one("optimizer=sgd", "optimizer.lr=1e30", "train.max_retries=5")
    assert "retries" not in record_of(tmp_path / "run")
    assert record_of(tmp_path / "run")["error"]["epoch"] == 1


def test_a_folder_holds_one_run(train_one: Train) -> None:
    folder = train_one("seed=0")
    before = RunDirectory(folder).record_file.read_bytes()
    with pytest.raises(ValueError, match="holds the run of another configuration"):
        train_one("seed=1", "rerun=all")
    assert RunDirectory(folder).record_file.read_bytes() == before


def test_a_run_that_another_process_works_on(quick: Callable[..., Config], train_one: Train) -> None:
    folder = train_one()
    code = (
        "import sys, time; from pathlib import Path; from ablate.records.run_directory import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).lock(): print('held', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(Busy):
            run(Job(quick(), folder), Progress(), wait=False)
        holder.kill()
    assert RunDirectory(folder).lock_file.exists()
    assert run(Job(quick(), folder), Progress(), wait=False) == record_of(folder)["results"]["test_accuracy"]["final"]
    assert not RunDirectory(folder).lock_file.exists()


def test_other_runs_at_the_same_time_are_recorded(
    train_one: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ablate.runs.other_runs import counting_other_runs

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where no other test's runs announce themselves
    alone = record_of(train_one(folder="alone"))["starts"][0]
    assert (alone["other_runs"], alone["other_runs_at_end"]) == (0, 0)
    with counting_other_runs():
        (start,) = record_of(train_one())["starts"]
    assert (start["other_runs"], start["other_runs_at_end"]) == (1, 1)
    with counting_other_runs() as others:
        assert others() == 0
