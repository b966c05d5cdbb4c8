"""What a command does before its first run and says after its last one."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from reading_runs import record_of

from ablate.__main__ import run_command
from ablate.config.schema import Config
from ablate.records.run_directory import RunFailed
from ablate.runs import prepare as prepare_module
from ablate.runs import recorder
from ablate.runs import run as run_module
from ablate.runs.job import Job
from ablate.sweeps import cohorts
from ablate.sweeps.preflight import means
from ablate.training.checkpoint import save_checkpoint

SWEEP = (
    "-m", "study=demo", "data.subset=30", "train.epochs=1", "train.batch_size=64", "hardware=cpu", "model=plain,bn",
)  # fmt: skip


class Odd(BaseException):
    """An error of a kind that programs rarely catch."""


ERRORS = (MemoryError(), SystemExit(3), Odd("odd"), RuntimeError("no room"), ValueError("late"))


@pytest.mark.parametrize("launcher", ["basic", "cohort"])
@pytest.mark.parametrize("error", ERRORS)
def test_an_error_of_any_kind_as_a_run_is_prepared_is_recorded_and_told(
    error: BaseException, launcher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The other runs are trained, and the command ends with its table; repeated without the error it is complete."""
    monkeypatch.chdir(tmp_path)
    arguments = [*SWEEP, "seed=0", f"hydra/launcher={launcher}"]
    if launcher == "cohort":
        arguments.append("hydra.launcher.processes=1")
    honest = prepare_module.prepare

    def failing(cfg: Config, *more: Any, **options: Any) -> Any:
        if cfg.model.name == "bn":
            raise error
        return honest(cfg, *more, **options)

    with monkeypatch.context() as patch:
        if not isinstance(error, ValueError):  # which is refused at once
            patch.setattr(prepare_module, "prepare", failing)
        patch.setattr(run_module, "prepare", failing)
        patch.setattr(cohorts, "prepare", failing)
        assert run_command(arguments) == (2 if isinstance(error, ValueError) else 1)
    errors = capsys.readouterr().err
    assert "1 of 2 runs did not end well" in errors
    assert "Traceback" not in errors
    said = str(error) or type(error).__name__
    (row,) = [line for line in errors.splitlines() if line.startswith("outputs/demo/bn/")]
    assert row.split(maxsplit=3)[1:] == ["failed", "1", said]
    found = {record["variant"]: record for record in map(record_of, (p.parent for p in tmp_path.rglob("run.json")))}
    assert found["plain"]["status"] == "complete" and found["bn"]["status"] == "failed"
    assert found["bn"]["error"]["type"] == type(error).__name__
    assert run_command(arguments) == 0


def test_an_error_as_a_killed_run_is_prepared_again(
    train_one: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its record said that it was running; it keeps its epochs, and ends with the numbers that it would have had."""
    expected = record_of(train_one(folder="whole"))["final_weights"]
    with monkeypatch.context() as patch:
        epochs = iter([None])

        def die(*given: Any) -> None:
            if next(epochs, 0) == 0:
                raise KeyboardInterrupt
            save_checkpoint(*given)

        patch.setattr(recorder, "save_checkpoint", die)
        with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
            killed.setattr(recorder.Recorder, "fail", lambda *given: None)  # as if it had been killed
            train_one()
        patch.setattr(run_module, "prepare", lambda *given: [][1])
        with pytest.raises(RunFailed, match="list index out of range"):
            train_one()
    record = record_of(tmp_path / "run")
    assert record["status"] == "failed" and record["error"]["epoch"] == 2
    assert record_of(train_one())["final_weights"] == expected


def test_a_sweep_ends_with_means_by_variant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command([*SWEEP, "seed=0,1", "optimizer.lr=0.001,0.1", "hydra/launcher=basic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("variant "))
    assert lines[start].split() == ["variant", "test_accuracy,", "mean", "±", "SD", "seeds"]
    records = [record_of(path.parent) for path in tmp_path.rglob("run.json")]
    for line in lines[start + 1 : start + 5]:
        variant, rate, mean, _, spread, unit, seeds = line.split()
        values = [
            100 * record["results"]["test_accuracy"]["final"]
            for record in records
            if record["variant"] == variant and f"optimizer.lr={record['config']['optimizer']['lr']}" == rate
        ]
        assert (mean, spread) == (f"{statistics.mean(values):.2f}", f"{statistics.stdev(values):.2f}")
        assert (unit, seeds) == ("%", "2")
    assert lines[start + 5].startswith("The runs are in outputs/demo")


def test_means_of_one_seed_and_of_none(
    train_one: Callable[..., Path], quick: Callable[..., Config], tmp_path: Path
) -> None:
    folder = train_one("study.metric=test_loss")
    loss = record_of(folder)["results"]["test_loss"]["final"]
    cfg = quick("study.metric=test_loss")
    assert means([Job(cfg, tmp_path / "none"), Job(cfg, None)]) == ""
    line = means([Job(cfg, folder), Job(cfg, tmp_path / "none")]).splitlines()[1]
    assert line.split() == ["plain", f"{loss:.2f}", "1"]
