"""What the launchers of clusters have in common, on another machine that is a folder of this one."""

import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from reading_runs import record_of
from warm import Server

pytest.importorskip("cloudpickle", reason="the work cannot be sent; `make test` installs what sends it")

ROOT = Path(__file__).parents[2]
Sweep = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def sweep(ablate: Callable[..., "CompletedProcess[str]"], warm: Server, tmp_path: Path) -> Sweep:
    machine = tmp_path / "machine"
    machine.mkdir()

    def start(*overrides: str) -> "CompletedProcess[str]":
        return ablate(
            "-m", "study=demo", "model=plain,dropout", "seed=0", "data.subset=30", "train.epochs=2",
            "hardware.threads=1", "hydra/launcher=elsewhere", f"hydra.launcher.machine={machine}", *overrides,
            PYTHONPATH=f"{ROOT}:{ROOT / 'tests' / 'elsewhere'}",
            PATH=f"{warm.shims(tmp_path / 'bin')}:{os.environ['PATH']}",
        )  # fmt: skip

    return start


def runs(folder: Path) -> list[str]:
    return [str(file.parent.relative_to(folder)) for file in sorted(folder.rglob("run.json"))]


def test_a_store_is_all_that_machines_have_in_common(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep(f"store={tmp_path}/store")
    assert done.returncode == 0, done.stdout + done.stderr
    there, here = tmp_path / "machine" / "outputs", tmp_path / "outputs"
    assert runs(there) == runs(here) and len(runs(here)) == 2
    for name in runs(here):
        assert record_of(here / name) == record_of(there / name)
        assert record_of(here / name)["status"] == "complete" and record_of(here / name)["cohort"] == 2
        assert len(record_of(here / name)["starts"]) == 1
    again = sweep(f"store={tmp_path}/store")
    assert again.returncode == 0, again.stdout + again.stderr


def test_without_one_the_command_says_what_is_missing(sweep: Sweep, tmp_path: Path) -> None:
    done = sweep()
    assert done.returncode == 1
    assert len(runs(tmp_path / "machine" / "outputs")) == 2
    assert "not started: there is no record in " in done.stdout
    assert "machines without a common folder need store=" in done.stdout


def test_what_went_wrong_there_is_said_here(sweep: Sweep, tmp_path: Path) -> None:
    (tmp_path / "machine" / "outputs").write_text("a file where the runs' folder is to be")
    done = sweep()
    assert done.returncode == 1
    assert "plain seed 0 not started: NotADirectoryError: " in done.stdout


def test_data_that_a_machine_lacks_is_said_here(sweep: Sweep, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images, labels = random.integers(0, 256, (64, 3, 32, 32), dtype=np.uint8), np.arange(64) % 10
    arrays = {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}
    np.savez(tmp_path / "mine.npz", **arrays)  # here, and not there
    done = sweep("data=npz", "data.path=mine.npz", "data.subset=null")
    assert done.returncode == 1
    assert "plain seed 0 not started: ValueError: data.path=mine.npz: cannot be read as .npz: " in done.stdout
    assert not runs(tmp_path / "outputs")
    there = [record_of(file.parent) for file in (tmp_path / "machine").rglob("run.json")]
    assert {record["status"] for record in there} == {"failed"} and len(there) == 2
    np.savez(tmp_path / "machine" / "mine.npz", **arrays)
    sweep("data=npz", "data.path=mine.npz", "data.subset=null")
    there = [record_of(file.parent) for file in (tmp_path / "machine").rglob("run.json")]
    assert {record["status"] for record in there} == {"complete"} and len(there) == 2
