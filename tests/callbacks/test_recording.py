"""Runs that are recorded where they are: in a script, by Lightning's Trainer, by Hugging Face's."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from warm import ROOT

from ablate import load_runs, record
from ablate.__main__ import run_command
from ablate.records.record import RunRecord
from ablate.records.run_directory import RunDirectory
from ablate.seeding import stream_seed
from ablate.tasks.recording import Recording
from ablate.tasks.streams import Streams

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(run: Recording) -> RunRecord:
    found = RunDirectory(run.folder).read_record()
    assert found is not None
    return found


def column(run: Recording, name: str) -> list[float]:
    return [row[name] for row in RunDirectory(run.folder).read_epochs()]


def test_a_script_is_recorded_and_reported(undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    for variant, gain in (("wide", 0.25), ("baseline", 0.0)):
        for seed in range(3):
            with record(variant, seed, study="mine", lr=0.1) as run:
                for epoch in range(2):
                    run.log(epoch=epoch, train_loss=1.0)
                    run.log({"val/acc": 0.25 * epoch + gain}, epoch=epoch)
                    if epoch == 1:
                        assert column(run, "val_acc") == [gain] and read(run).status == "running"
                run.log(test_acc=0.5 + gain)
            run.log(test_f1=0.5)  # after the end, of the finished model
    found = read(run)
    assert found.is_complete and found.task is not None and found.task.startswith("recorded by ")
    assert found.config["settings"] == {"lr": 0.1} and found.provenance.packages and found.starts[0].pid == os.getpid()
    assert column(run, "val_acc") == [0.0, 0.25] and column(run, "test_acc")[1] == column(run, "test_f1")[1] == 0.5
    assert run_command(["report", "outputs/mine"]) == 0, capsys.readouterr().err
    rows = json.loads(Path("outputs/mine/report/results.json").read_text(encoding="utf-8"))["comparisons"]
    (row,) = [row for row in rows if row["metric"] == "test_acc"]
    assert (row["first"], row["second"], row["pairs"], row["mean"]) == ("wide", "baseline", 3, 0.25)


def test_steps_between_epochs_and_metrics_without_one() -> None:
    with record("a", 0, metric="acc.best") as run:
        for step in range(4):
            run.log(epoch=step / 2, loss=4.0 - step)
            if step % 2:
                run.log(acc=0.25 * step)
    assert column(run, "acc") == [0.25, 0.75] and column(run, "loss") == [3.0, 1.0]
    with record("a", 1) as run:
        for value in (0.25, 0.5):
            run.log(acc=value)
    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "recorded")
    assert column(run, "acc") == [0.25, 0.5] and read(run).study == script.stem


def test_how_a_run_may_end() -> None:
    with pytest.raises(RuntimeError), record("a", 0) as run:
        run.log(epoch=1, acc=0.5)
        raise RuntimeError("no memory")
    found = read(run)
    assert found.status == "failed" and found.cause == "no memory" and column(run, "acc") == [0.5]
    with pytest.raises(KeyboardInterrupt), record("a", 0) as run:
        assert not RunDirectory(run.folder).epochs_file.exists(), "what was there is replaced"
        raise KeyboardInterrupt
    assert read(run).status == "interrupted"
    with pytest.raises(ValueError, match="a seed 0: nothing was logged"), record("a", 0) as run:
        pass
    with record("a", 0) as run:
        run.log(acc=float("nan"))
    assert read(run).status == "diverged" and read(run).cause == "acc is no finite number"
    with record("a", 0, metric="f1") as run:
        run.log(acc=0.5)
    assert read(run).cause == "never logged f1"
    with record("a", 0) as run:
        run.log(acc=0.5)
    assert read(run).is_complete and load_runs("outputs").runs["acc"].tolist() == [0.5]


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="variant=a/b: names a folder"):
        record("a/b", 0)
    with pytest.raises(ValueError, match=r"run\.log is for the block"):
        record("a", 0).log(acc=1.0)
    with record("a", 0) as run:
        run.log(epoch=2, acc=0.5)
        with pytest.raises(ValueError, match="epoch=1: the epoch goes back, 2 was logged before"):
            run.log(epoch=1, acc=0.5)
        with pytest.raises(ValueError, match="the script logs seed, which is a column of ablate's own"):
            run.log(seed=1.0)


def test_loaders_draw_from_streams() -> None:
    import torch
    from torch.utils.data import DataLoader

    def passes(seed: int, resumed: int = 0) -> list[list[int]]:
        given = Streams(seed).loading(range(8))
        given["sampler"].set_epoch(resumed)
        loader = DataLoader(list(range(8)), 4, **given)  # type: ignore[arg-type]
        made = []
        for _ in range(resumed, 3):
            torch.rand(3)  # what others draw does not matter
            made.append([number for batch in loader for number in batch.tolist()])
            made.append([int(given["generator"].initial_seed())])
        return made

    whole = passes(3)
    assert whole[0] != whole[2] and sorted(whole[0]) == list(range(8)) and passes(4) != whole
    assert passes(3, resumed=2) == whole[4:]
    own = torch.Generator().manual_seed(stream_seed(3, "order", 1))
    assert whole[2] == torch.randperm(8, generator=own).tolist()
    assert whole[1] == [stream_seed(3, "order/workers", 1)]


def run_script(name: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(HERE / name)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def folder_of(study: str, variant: str, seed: int) -> RunDirectory:
    (found,) = Path("outputs", study, variant).glob(f"seed{seed}-*")
    return RunDirectory(found)


@pytest.mark.skipif(importlib.util.find_spec("lightning") is None, reason="Lightning is in the extra dev")
def test_the_callback_of_lightning() -> None:
    done = run_script("lightning_script.py")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(told) == 4
    for one in told:
        directory = folder_of("lightning", one["variant"], one["seed"])
        found, rows = directory.read_record(), directory.read_epochs()
        assert found is not None and found.is_complete and len(rows) == 3
        names = ["train/loss", "test/acc", *["val/acc"] * (one["variant"] == "wide")]
        for name in names:
            assert rows[-1][name.replace("/", "_")] == pytest.approx(one["known"][name])
        absent = [math.isnan(row["val_acc"]) for row in rows]
        assert absent == [one["variant"] == "plain" and epoch != 1 for epoch in range(3)], "nothing is repeated"
    crashed = folder_of("lightning", "wide", 2).read_record()
    assert crashed is not None and (crashed.status, crashed.cause) == ("failed", "CUDA out of memory.")
    assert not list(Path().glob("lightning_logs")) and run_command(["status", "outputs/lightning"]) == 0


@pytest.mark.skipif(
    None in map(importlib.util.find_spec, ("transformers", "accelerate")),
    reason="transformers and accelerate are in the extra dev",
)
def test_the_callback_of_hugging_face() -> None:
    done = run_script("trainer_script.py")
    assert done.returncode == 1 and "CUDA out of memory." in done.stderr
    for variant in ("plain", "wide"):
        directory = folder_of("trainer", variant, 1)
        found, rows = directory.read_record(), directory.read_epochs()
        assert found is not None and found.is_complete and len(rows) == 2
        state = json.loads(Path(f"runs/{variant}-seed1/trainer_state.json").read_text(encoding="utf-8"))
        evaluated = [entry["eval_accuracy"] for entry in state["log_history"] if "eval_accuracy" in entry]
        assert [row["eval_accuracy"] for row in rows] == evaluated[:2]
        assert found.study_options["metric"] == "eval_accuracy"
        assert rows[0]["loss"] == state["log_history"][0]["loss"]
    crashed = folder_of("trainer", "wide", 2).read_record()
    assert crashed is not None and (crashed.status, crashed.cause) == ("failed", "CUDA out of memory.")
