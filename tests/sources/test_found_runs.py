"""Folders as projects of others leave them, each made by the real package, and reported in two words."""

import csv
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from warm import ROOT

from ablate.__main__ import run_command

pytestmark = pytest.mark.usefixtures("undrawn")
PROJECTS = Path(__file__).parent / "projects"
MULTIRUN = "logs/train/multiruns/2026-11-25_09-54-15"
Report = Callable[..., dict[str, Any]]


def run_project(script: str, folder: Path, *arguments: str) -> int:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", str(PROJECTS / script), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, check=False).returncode


@pytest.fixture(scope="module")
def lightning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("lightning", reason="Lightning is in the extra dev")
    folder = tmp_path_factory.mktemp("lightning")
    assert run_project("lightning_project.py", folder, "-m", "model=plain,wide", "seed=1,2,3") == 1, "one job crashes"
    return folder / MULTIRUN


@pytest.fixture(scope="module")
def transformers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if None in map(importlib.util.find_spec, ("transformers", "accelerate")):
        pytest.skip("transformers and accelerate are in the extra dev")
    folder = tmp_path_factory.mktemp("transformers")
    assert run_project("trainer_project.py", folder) == 0
    return folder / "runs"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report(here: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """Reports a path, and returns results.json with what was said as `said` and the page as `page`."""

    def report(path: str | Path, *options: str, out: str | None = None) -> dict[str, Any]:
        assert run_command(["report", str(path), *options]) == 0, capsys.readouterr().err
        said = capsys.readouterr().out
        (folder,) = [Path(out)] if out else (here / "outputs").glob("*-report")
        content: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        return {**content, "said": said, "page": (folder / "report.md").read_text(encoding="utf-8")}

    return report


def said(text: str) -> Iterator[tuple[str, str]]:
    for line in text.split("\n\n")[0].splitlines():
        word, _, about = line.partition("  ")
        yield word, about.strip()


def state_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size) for path in folder.rglob("*")}


def test_a_multirun_of_hydra_and_lightning(lightning: Path, report: Report) -> None:
    before = state_of(lightning)
    found = report(lightning)
    assert state_of(lightning) == before
    told = list(said(found["said"]))
    assert ("variant", "model: plain (3), wide (2)") in told and ("seed", "seed: 1, 2, 3") in told
    assert ("metric", "test_acc = test/acc (higher is better)") in told and ("baseline", "plain") in told
    assert ("left out", "5: failed: RuntimeError: CUDA out of memory.") in told
    assert ("not taken", "lr-Adam") in told
    # As its own files say, epoch by epoch: the last, the best, and the test that stands below.
    values = {(row["metric"], row["first"]): row["mean"] for row in found["comparisons"]}
    with (lightning / "0" / "csv" / "version_0" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len([row for row in rows if row["val/acc"]]) == 3 and "" in [row["epoch"] for row in rows]
    table = (Path("outputs") / f"multiruns_{lightning.name}-report" / "runs.csv").read_text(encoding="utf-8")
    runs = list(csv.DictReader(table.splitlines()))
    first = next(row for row in runs if row["run"] == "0")
    validation = [float(row["val/acc"]) for row in rows if row["val/acc"]]
    assert float(first["val_acc"]) == validation[-1] and float(first["val_acc.best"]) == max(validation)
    assert [float(first["test_acc"])] == [float(row["test/acc"]) for row in rows if row["test/acc"]]
    assert float(first["train_loss"]) == [float(row["train/loss"]) for row in rows if row["train/loss"]][-1]
    assert ("val_acc", "wide") in values and "3 epochs each" in found["page"]


def test_what_it_prints_says_the_same_in_full(lightning: Path, report: Report) -> None:
    first = report(lightning)
    line = next(line for line in first["said"].splitlines() if line.startswith("The same in full: "))
    _, _, path, *options = shlex.split(line.partition(": ")[2])
    second = report(path, *options)
    assert second["comparisons"] == first["comparisons"] and path == str(lightning)


def test_trainings_of_hugging_faces_trainer(transformers: Path, report: Report) -> None:
    assert (transformers / "wide-seed2" / "checkpoint-2").is_dir() and not (
        transformers / "wide-seed2" / "trainer_state.json"
    ).exists()
    before = state_of(transformers)
    found = report(transformers)
    assert state_of(transformers) == before
    told = list(said(found["said"]))
    assert ("variant", "variant: plain (2), wide (2)") in told and ("seed", "seed: 0, 1") in told
    assert ("metric", "eval_accuracy (higher is better)") in told
    assert ("left out", "wide-seed2: failed: 2 of 4 steps") in told
    assert f"'{transformers}/{{variant}}-seed{{seed}}'" in found["said"] and "2 epochs each" in found["page"]
    last = json.loads((transformers / "wide-seed1" / "eval_results.json").read_text(encoding="utf-8"))
    table = Path("outputs/runs-report/runs.csv").read_text(encoding="utf-8")
    rows = {row["run"]: row for row in csv.DictReader(table.splitlines())}
    assert float(rows["wide-seed1"]["eval_accuracy"]) == last["eval_accuracy"]


def write_events(folder: Path, epochs: range, value: Callable[[int], float], filename_suffix: str = "") -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder), filename_suffix=filename_suffix) as writer:
        for epoch in epochs:
            writer.add_scalar("val/acc", value(epoch), epoch)
            writer.add_scalar("train/loss", 1 / (epoch + 1), epoch)


def test_event_files_of_tensorboard(here: Path, report: Report) -> None:
    for variant, gain in (("baseline", 0.0), ("wide", 0.25)):
        for seed in (0, 1, 2):
            write_events(here / "runs" / variant / f"seed{seed}", range(3), lambda e: 0.25 + gain + e * 0.125)  # noqa: B023
    # One was killed after its second epoch and begun again from the second: steps go back in a further file.
    shutil.rmtree(here / "runs" / "wide" / "seed2")
    write_events(here / "runs" / "wide" / "seed2", range(2), lambda e: 0.0, ".1")
    write_events(here / "runs" / "wide" / "seed2", range(1, 3), lambda e: 0.5 + e * 0.125, ".2")
    found = report("runs")
    row = next(row for row in found["comparisons"] if row["metric"] == "val_acc")
    assert (row["first"], row["second"], row["pairs"], row["mean"]) == ("wide", "baseline", 3, 0.25)
    assert "3 epochs each" in found["page"] and "runs/{variant}/seed{seed}" in found["said"]


def test_events_in_a_folder_for_each_split_as_keras_writes_them(here: Path, report: Report) -> None:
    from torch.utils.tensorboard import SummaryWriter

    for variant, value in (("plain", 0.25), ("wide", 0.5)):
        for cell in [f"{variant}-seed{seed}" for seed in range(2)]:
            for split, gain in (("train", 0.25), ("validation", 0.0)):
                with SummaryWriter(str(here / "logs" / cell / split)) as writer:
                    for epoch in range(2):
                        writer.add_scalar("epoch_accuracy", value + gain, epoch)
    found = report("logs")
    assert "'logs/{variant}-seed{seed}'" in found["said"]
    means = {row["metric"]: row["mean"] for row in found["comparisons"]}
    assert means == {"validation_epoch_accuracy": 0.25, "train_epoch_accuracy": 0.25}


def write_keras(file: Path, epochs: int, last: float, begin: int = 0) -> None:
    """As Keras's CSVLogger writes: epochs from 0, metrics in the order of their names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", newline="") as content:
        columns = ["epoch", "accuracy", "learning_rate", "loss", "val_accuracy", "val_loss"]
        writer = csv.DictWriter(content, columns)
        if not begin:
            writer.writeheader()
        for epoch in range(epochs):
            gone = last * (epoch + 1) / epochs
            writer.writerow(dict(zip(columns, [epoch, gone, 0.001, 1 - gone, gone, 1 - gone], strict=True)))


def keras(folder: Path) -> None:
    for variant, last in (("plain", 0.5), ("wide", 0.75)):
        for seed in range(3):
            write_keras(folder / variant / f"seed{seed}" / "log.csv", 4, last)


def test_logs_of_keras(here: Path, report: Report) -> None:
    keras(here / "runs")
    found = report("runs")
    row = next(row for row in found["comparisons"] if row["metric"] == "val_accuracy")
    assert (row["first"], row["mean"], row["pairs"]) == ("wide", 0.25, 3)
    template = "runs/{variant}/seed{seed}/log.csv"
    assert f"'{template}' --variant variant --seed seed" in found["said"]
    again = report(template, "--metric", "val_accuracy")
    assert {row["metric"] for row in again["comparisons"]} == {"val_accuracy"}
    assert again["comparisons"][0]["mean"] == 0.25


def test_a_folder_is_imported_as_it_is_reported(here: Path, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    keras(here / "runs")
    first = report("runs", "--metric", "val_accuracy")
    command = ["import", "files", "runs", "--study", "old", "--metric", "val_accuracy", "--out", "imported"]
    assert run_command(command) == 0 and "6 runs are in imported/old" in capsys.readouterr().out
    assert run_command([*command, "--experiment", "x"]) == 2 and "is for mlflow" in capsys.readouterr().err
    second = report("imported/old", out="imported/old/report")
    assert [row["mean"] for row in second["comparisons"]] == [row["mean"] for row in first["comparisons"]] == [0.25]


def test_plain_scripts(here: Path, report: Report) -> None:
    """JSON lines, of which a killed process has left half a line; JSON with the figures of a run; a table of runs."""
    for variant, gain in (("a", 0.0), ("b", 0.25)):
        for seed in range(3):
            folder = here / "lines" / f"{variant}_seed_{seed}"
            folder.mkdir(parents=True)
            rows = [{"epoch": epoch, "val": {"acc": 0.25 + gain}, "note": "x"} for epoch in (1, 2)]
            (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"epoch": 3, "va')
            (here / "final").mkdir(exist_ok=True)
            (here / "final" / f"{variant}-{seed}.json").write_text(json.dumps({"f1": 0.25 + gain, "ok": True}))
    assert report("lines")["comparisons"][0]["mean"] == 0.25
    assert run_command(["report", "final/{variant}-{seed}.json", "--out", "other"]) == 0
    assert json.loads(Path("other/results.json").read_text())["comparisons"][0]["mean"] == 0.25
    rows = ["method,seed,f1,note", *(f"{m},{s},{0.5 + 0.25 * i},x" for i, m in enumerate("ab") for s in range(3))]
    Path("results.csv").write_text("\n".join(rows))
    assert report("results.csv", out="results-report")["comparisons"][0]["mean"] == 0.25


@pytest.mark.parametrize("name", ["wide", "outputs/runs-report"])
def test_where_a_report_goes(name: str, here: Path, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    keras(here / "runs")
    if name == "wide":
        (here / "runs" / "old-report").mkdir()
        (here / "runs" / "old-report" / "metric_val_acc.csv").write_text("epoch,val_acc\n1,0.5\n")
        assert "outputs/runs-report: open" in report("runs")["said"]
        report("runs")  # and again, in its place
        return
    (here / name).mkdir(parents=True)
    (here / name / "mine.txt").write_text("x")
    assert run_command(["report", "runs"]) == 2
    assert "is no report; say where to write with --out" in capsys.readouterr().err
    report("runs", "--out", "elsewhere", out="elsewhere")
    assert [path.name for path in (here / name).iterdir()] == ["mine.txt"]


def refused(path: str, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert run_command(["report", path, *options]) == 2, capsys.readouterr().out
    assert not Path("outputs").exists(), "something was written"
    return capsys.readouterr().err


def test_an_epoch_that_goes_back_is_refused(here: Path, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    keras(here / "runs")
    write_keras(here / "runs" / "wide" / "seed2" / "log.csv", 4, 1.0, begin=4)  # CSVLogger(append=True)
    text = refused("runs", capsys)
    assert "seed2/log.csv, row 6: the epoch or step goes back from 3 to 0" in text and "--resumed" in text
    row = next(row for row in report("runs", "--resumed")["comparisons"] if row["metric"] == "val_accuracy")
    assert row["mean"] == pytest.approx((0.25 + 0.25 + 0.5) / 3)


def test_runs_of_fewer_epochs(here: Path, report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    keras(here / "runs")
    (here / "runs" / "wide" / "seed2" / "log.csv").unlink()
    write_keras(here / "runs" / "wide" / "seed2" / "log.csv", 2, 0.75)
    assert "wide/seed2/log.csv: has 2 epochs, and others have 4: --shorter count" in refused("runs", capsys)
    found = report("runs", "--shorter", "leave-out")
    assert ("left out", "wide/seed2/log.csv: interrupted: 2 of 4 epochs") in said(found["said"])
    assert {row["pairs"] for row in found["comparisons"]} == {2}
    assert {row["pairs"] for row in report("runs", "--shorter", "count")["comparisons"]} == {3}


def test_paths_that_say_no_seed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_keras(here / "runs" / "wide_3.csv", 2, 0.5)
    assert "wide_3.csv says no seed" in (text := refused("runs", capsys)) and "runs/{variant}_{seed}.csv" in text
    (here / "empty").mkdir()
    assert "there are no runs in it" in refused("empty", capsys)
    assert "there is no such file" in refused("runs/{variant}/log.csv", capsys)
