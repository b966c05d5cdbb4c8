"""The examples of tasks, as a user would run them, and what goes wrong with a task."""

import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from reading_runs import record_of
from test_faults import is_gone
from warm import Server

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.commands.status import look
from ablate.records.run_directory import RunDirectory
from ablate.seeding import stream_seed

ROOT = Path(__file__).parents[2]
Call = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def example(warm: Server, tmp_path: Path) -> Call:
    def call(name: str, *overrides: str) -> "subprocess.CompletedProcess[str]":
        folder = tmp_path / name
        if not folder.is_dir():
            shutil.copytree(ROOT / "examples" / name, folder)
        return warm.run("train.py", *overrides, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)})

    return call


def runs(folder: Path) -> list[Path]:
    return [file.parent for file in sorted(folder.rglob("run.json"))]


def test_a_forest_is_swept_and_reported(example: Call, tmp_path: Path) -> None:
    done = example("forest", "-m", "seed=0,1,2")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "forest" / "outputs" / "forest"
    found, _ = load_runs(study)
    assert found["variant"].value_counts().to_dict() == dict.fromkeys(
        ("forest", "all_features", "no_bootstrap", "one_tree"), 3
    )
    run_command(["report", str(study)])
    results = json.loads((study / "report" / "results.json").read_text(encoding="utf-8"))
    verdicts = {claim["id"]: claim["verdict"] for claim in results["claims"]}
    assert verdicts["trees_matter"] == "supported"  # by more than ten points
    before = [record_of(folder) for folder in runs(study)]
    again = example("forest", "-m", "seed=0,1,2")
    assert (again.stdout + again.stderr).count("is complete already") == 12
    assert [record_of(folder) for folder in runs(study)] == before
    other = example("forest", "model.n_estimators=7")
    assert other.returncode == 0, other.stderr
    assert "forest (n_estimators=7)" in set(load_runs(study)[0]["variant"])


QUICK = ("epochs=3", "steps=4", "data.characters=4000", "model.width=8")


def test_a_transformer_goes_on_where_it_stopped(example: Call, tmp_path: Path) -> None:
    """A run that stops in its second epoch ends with the numbers of one that does not."""
    folder = tmp_path / "transformer"
    assert example("transformer", *QUICK).returncode == 0
    (whole,) = runs(folder)
    expected = RunDirectory(whole).read_epochs()
    shutil.rmtree(folder / "outputs")
    code = (folder / "train.py").read_text(encoding="utf-8")
    stop = "        losses = []\n        if epoch == 1:\n            raise KeyboardInterrupt\n"
    (folder / "train.py").write_text(code.replace("        losses = []\n", stop), encoding="utf-8")
    assert example("transformer", *QUICK).returncode != 0
    (stopped,) = runs(folder)
    assert record_of(stopped)["status"] == "interrupted" and len(RunDirectory(stopped).read_epochs()) == 1
    (folder / "train.py").write_text(code, encoding="utf-8")
    assert example("transformer", *QUICK).returncode == 0
    assert len(record_of(stopped)["starts"]) == 2
    for row, other in zip(RunDirectory(stopped).read_epochs(), expected, strict=True):
        assert {k: row[k] for k in ("train_loss", "test_accuracy")} == {
            k: other[k] for k in ("train_loss", "test_accuracy")
        }


def swept(example: Call, name: str, tmp_path: Path, *overrides: str) -> tuple[str, list[Path]]:
    """Returns the report of an example's sweep, and the folders of its runs."""
    done = example(name, "-m", *overrides)
    assert done.returncode == 0, done.stderr
    study = tmp_path / name / "outputs" / name
    text, _ = report(study)
    return text, runs(study)


def test_a_segmentation_is_a_factorial_with_curves_of_its_metrics(example: Call, tmp_path: Path) -> None:
    text, folders = swept(example, "segmentation", tmp_path, "epochs=2", "steps=2")
    assert len(folders) == 24 and "The variants are a design, factorial, of " in text
    assert all(f"\n| {part} " in text for part in ("skip", "norm", "flip", "skip+norm+flip"))
    assert "mIoU (%) ↑" in text and "Dice loss ↓" in text
    assert "Learning curves of none, " in text and "; mIoU at the end on average: none " in text
    for unknown in ("images in one order", "same weights", "FLOPs", "of the test images", "evaluation"):
        assert unknown not in text.partition("## How it was computed")[0]
    record = record_of(folders[0])
    assert record["config"]["study"]["metric"] == "test_miou"
    assert record["config"]["study"]["metrics"]["test_miou"] == {"better": "higher", "unit": "%", "label": "mIoU"}
    assert record["starts"][0]["plan"]["seeds"] == [0, 1, 2]


def test_a_pipeline_is_a_factorial_and_is_verified(example: Call, tmp_path: Path, capsys: Any) -> None:
    text, folders = swept(example, "pipeline", tmp_path)
    assert "The variants are a design, factorial, of " in text
    assert "Supported on 3 seeds" in text and "F1 (%) ↑" in text
    assert "\n| reduction " in text and "differ also in" not in text
    folder = tmp_path / "pipeline"
    program = str(folder / "train.py")
    assert run_command(["verify", str(folders[0]), "--task", program]) == 0
    epochs = folders[0] / "epochs.csv"
    epochs.write_text(epochs.read_text().replace("0.", "0.0", 1), encoding="utf-8")
    assert run_command(["verify", str(folders[0]), "--task", program]) == 1
    assert run_command(["verify", str(folders[0])]) == 2
    said = capsys.readouterr()
    assert "1 epochs are identical." in said.out and "epoch 1: test_f1 is 0.0" in said.out and "--task FILE" in said.err
    code = folder / "train.py"
    code.write_text(code.read_text(encoding="utf-8") + "# mended\n", encoding="utf-8")
    planned = example("pipeline", "-m", "hydra/launcher=plan", "seed=0,3")
    assert planned.returncode == 0, planned.stderr
    assert "complete, stale (other code of train.py)" in planned.stdout and "16 runs, 8 of them to" in planned.stdout
    assert "24 runs" not in planned.stdout and "runs of this variant" in planned.stdout
    (one,) = [row for row in look(folder / "outputs" / "pipeline") if row.run.startswith("none/seed1")]
    assert one.metric == "test_f1" and one.shown.endswith(" %")


@pytest.mark.parametrize(
    ("name", "overrides", "metric", "variants"),
    [
        ("lightning", ("epochs=2", "seed=0,1"), "val_acc", {"net", "net-dropout", "net-width"}),
        ("trainer", ("seed=0", "epochs=2"), "eval_accuracy", {"bert", "narrow", "cosine"}),
    ],
)
def test_trainers_with_a_loop_of_their_own(
    name: str, overrides: tuple[str, ...], metric: str, variants: set[str], example: Call, tmp_path: Path
) -> None:
    pytest.importorskip({"lightning": "lightning", "trainer": "transformers"}[name])
    text, folders = swept(example, name, tmp_path, *overrides)
    assert {record_of(folder)["variant"] for folder in folders} == variants
    for folder in folders:
        rows = RunDirectory(folder).read_epochs()
        assert len(rows) == 2 and all(0 <= row[metric] <= 1 and row["train_seconds"] > 0 for row in rows)
    assert "Learning curves of " in text


TASK = """
import hydra
import ablate

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@ablate.task
def train(cfg, run):
    {body}

train()
"""
CONFIG = "defaults: [ablate_task, _self_]\nvariant: a\nseed: 3\nlr: 1\nstudy: {name: mine, baseline: a}\n"


@pytest.fixture
def task(warm: Server, tmp_path: Path) -> Call:
    def call(body: str, *overrides: str, config: str = CONFIG, before: str = "") -> "subprocess.CompletedProcess[str]":
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / "config.yaml").write_text(config, encoding="utf-8")
        (tmp_path / "train.py").write_text(before + TASK.format(body=body), encoding="utf-8")
        return warm.run("train.py", *overrides, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})

    return call


def test_streams_are_those_of_the_seed_and_names(task: Call, tmp_path: Path) -> None:
    body = "yield {'test_accuracy': 0.5, 'init': run.stream('init') % 1000, 'order': run.stream('order', 2) % 1000}"
    assert task(body).returncode == 0
    (row,) = RunDirectory(runs(tmp_path)[0]).read_epochs()
    assert (row["init"], row["order"]) == (stream_seed(3, "init") % 1000, stream_seed(3, "order", 2) % 1000)


def test_settings_are_variants_of_one_name(task: Call, tmp_path: Path) -> None:
    assert task("yield {'test_accuracy': 0.1 * cfg.lr}", "-m", "lr=1,2", "seed=0,1").returncode == 0
    found, _ = load_runs(tmp_path / "outputs" / "mine")
    assert set(found["variant"]) == {"a (lr=1)", "a (lr=2)"}
    assert len(runs(tmp_path)) == 4


@pytest.mark.parametrize(
    ("body", "config", "message"),
    [
        ("yield {'f1': 1.0}", CONFIG, "study.metric=test_accuracy: the task yields f1, and not that"),
        ("yield from ()", CONFIG, "the task yielded nothing: it yields the metrics of each epoch"),
        ("yield {'test_accuracy': float('nan')}", CONFIG, "test_accuracy is nan after epoch 1"),
        ("yield {'test_accuracy': 0.5, 'seed': 3}", CONFIG, "the task yields seed, which is a column of ablate's"),
        ("yield {'test_accuracy': 0.5, 'a/b': 1, 'a.b': 2}", CONFIG, "another metric that would be called a_b too"),
        ("for _ in run.epochs(1):\n        yield {'test_accuracy': 0.5}\n    yield {'test_accuracy': 1}", CONFIG,
         "yields test_accuracy again after its 1 epochs"),
        ("yield {'test_accuracy': 0.5, 'f1': 1}\n    yield {'f1': 1}", CONFIG, "yields f1, and not that"),
        ("run.keep({'f': print})\n    yield {'test_accuracy': 0.5}", CONFIG, "run.keep: what it is given could not be"),
        ("raise OSError('disk')\n    yield {}", CONFIG, "OSError: disk"),
        ("yield {'test_accuracy': 61.2}", CONFIG, "test_accuracy is 61.2: it is a share, from 0 to 1"),
        ("return 3", CONFIG, "the task returned int: it yields or returns its metrics by name"),
        ("yield {'test_accuracy': 1}", CONFIG.replace("seed: 3\n", "seed: null\n"), "seed is not set: a task"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_recorded(body: str, config: str, message: str, task: Call, tmp_path: Path) -> None:
    done = task(body, config=config)
    assert done.returncode == (2 if "null" in config else 1) and message in done.stderr
    expected = "diverged" if "nan" in body else "failed"
    assert all(record_of(folder)["status"] == expected for folder in runs(tmp_path))


def report(study: Path) -> tuple[str, dict[str, Any]]:
    run_command(["report", str(study)])
    folder = study / "report"
    return (folder / "report.md").read_text(encoding="utf-8"), json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize(
    "loop",
    ["for epoch in run.epochs(10):", "for epoch in range(10):"],
    ids=["planned", "not planned"],
)
def test_runs_that_stop_early_are_complete_runs_of_one_variant(loop: str, task: Call, tmp_path: Path) -> None:
    body = f"{loop}\n        yield {{'test_accuracy': 0.05 * (epoch + 1) + 0.01 * cfg.lr}}\n"
    body += "        if epoch == cfg.seed:\n            break"
    done = task(body, "-m", "variant=a,b", "seed=1,2,3,9")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "mine"
    found, _ = load_runs(study)
    assert sorted(found["variant"]) == ["a"] * 4 + ["b"] * 4
    for folder in runs(study):
        record = record_of(folder)
        rows = RunDirectory(folder).read_epochs()
        assert len(rows) == record["seed"] + 1
        assert record["results"]["test_accuracy"]["final"] == rows[-1]["test_accuracy"]
        if "run.epochs" in loop:
            assert record["config"]["train"]["epochs"] == 10
            assert record.get("epochs_done") == (None if len(rows) == 10 else len(rows))
    text, _ = report(study)
    assert "2, 3, 4 and 10 epochs each, and each counts after its own last epoch." in text
    assert ("6 runs stopped before the planned epochs, such as a/seed1-" in text) == ("run.epochs" in loop)
    again = task(body, "-m", "variant=a,b", "seed=1,2,3,9")
    assert (again.stdout + again.stderr).count("is complete already") == 8


def test_metrics_have_names_that_tables_can_have(task: Call, tmp_path: Path) -> None:
    """A metric with a slash, and a test of the finished model after the last epoch."""
    body = """for epoch in run.epochs(2):
        yield {'val/acc': 0.1 * (epoch + 1) + 0.2 * (cfg.variant == 'b')}
    yield {'test/acc': 0.7}"""
    config = CONFIG.replace("baseline: a", "baseline: a, metric: val/acc, claims: "
                            "[{id: c, statement: b is better., metric: val/acc, expect: b > a}]")  # fmt: skip
    done = task(body, "-m", "variant=a,b", "seed=1,2", config=config)
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "mine"
    first, *_ = runs(study)
    rows = RunDirectory(first).read_epochs()
    assert [row["val_acc"] for row in rows] == [0.1, 0.2]
    assert math.isnan(rows[0]["test_acc"]) and rows[1]["test_acc"] == 0.7
    found, _ = load_runs(study)
    assert list(found["test_acc"]) == [0.7] * 4 and set(found["val_acc"]) == {0.2, 0.4}
    _, results = report(study)
    assert [claim["metric"] for claim in results["claims"]] == ["val_acc"]


def test_a_run_that_stops_after_its_last_epoch_is_tested_again(task: Call, tmp_path: Path) -> None:
    body = """for epoch in run.epochs(2):
        run.keep(epoch)
        yield {'test_accuracy': 0.1 * (epoch + 1)}
    yield {'calibration': 0.5}
    if run.state is None:
        raise KeyboardInterrupt"""
    assert task(body).returncode != 0
    assert task(body).returncode == 0
    (folder,) = runs(tmp_path)
    assert [row["test_accuracy"] for row in RunDirectory(folder).read_epochs()] == [0.1, 0.2]
    assert record_of(folder)["results"]["calibration"]["final"] == 0.5


SETTINGS = (
    CONFIG
    + """
out: {folder: "${hydra:runtime.output_dir}", files: "${out.folder}/files", choice: "${hydra:runtime.choices.typed}"}
tags: ["${variant}", "${study.name}"]
data:
  path: ???
  also: "${data.path}"
"""
)
TYPED = """
import enum, pathlib
from dataclasses import dataclass
from hydra.core.config_store import ConfigStore

class Colour(enum.Enum):
    RED = 1
    BLUE = 2

@dataclass
class Typed:
    colour: Colour = Colour.RED
    folder: pathlib.Path = pathlib.Path("a/b")

ConfigStore.instance().store(name="typed", group="typed", node=Typed)
"""


def test_a_configuration_holds_what_hydra_allows(task: Call, tmp_path: Path) -> None:
    config = SETTINGS.replace("[ablate_task, _self_]", "[ablate_task, {typed: typed}, _self_]")
    body = "yield {'test_accuracy': 0.1 * cfg.typed.colour.value}"
    sweep = ("-m", "typed.colour=RED,BLUE", "seed=0,1")
    done = task(body, *sweep, config=config, before=TYPED)
    assert done.returncode == 0, done.stderr
    folders = runs(tmp_path)
    found, _ = load_runs(tmp_path / "outputs" / "mine")
    assert sorted(found["variant"]) == ["a (colour=BLUE)"] * 2 + ["a (colour=RED)"] * 2
    settings = record_of(folders[0])["config"]["settings"]
    assert settings == {
        "lr": 1,
        "out": {"folder": None, "files": "None/files", "choice": "typed"},  # the folder is named by all this
        "tags": ["a", "mine"],
        "data": {"path": "???", "also": "${data.path}"},
        "typed": {"colour": settings["typed"]["colour"], "folder": "a/b"},
    }
    again = task(body, *sweep, config=config, before=TYPED)
    assert (again.stdout + again.stderr).count("is complete already") == 4
    with_data = task(body, "data.path=x", config=config, before=TYPED)
    assert with_data.returncode == 0 and len(runs(tmp_path)) == 5  # a run of its own


def test_what_a_later_epoch_does_not_keep_is_trained_again(task: Call, tmp_path: Path) -> None:
    body = """for epoch in run.epochs(4):
        if run.state is None and epoch == 3:
            raise KeyboardInterrupt
        if epoch == 1:
            run.keep(epoch)
        yield {'test_accuracy': 0.1 * epoch, 'from': -1 if run.state is None else run.state}"""
    assert task(body).returncode != 0
    (state,) = look(tmp_path / "outputs" / "mine")
    assert (state.status, state.done, state.epochs) == ("interrupted", 3, 4)
    assert task(body).returncode == 0
    (folder,) = runs(tmp_path)
    assert record_of(folder)["config"]["train"]["epochs"] == 4
    (state,) = look(tmp_path / "outputs" / "mine")
    assert (state.status, state.done, state.epochs) == ("complete", 4, 4)
    assert [row["from"] for row in RunDirectory(folder).read_epochs()] == [-1, -1, 1, 1]


def test_a_trial_that_diverges_is_a_bad_one(task: Call, tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    sweeper = ("-m", "hydra/sweeper=optuna", "hydra.sweeper.direction=maximize", "hydra.sweeper.n_trials=6",
               "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler.seed=1", "lr=interval(0.0, 1.0)")  # fmt: skip
    body = "yield {'test_accuracy': float('nan') if cfg.lr > 0.3 else cfg.lr}"
    for _ in range(2):  # repeated, it ends the same
        done = task(body, *sweeper)
        assert done.returncode == 0, done.stderr
        records = [record_of(folder) for folder in runs(tmp_path)]
        good = [record["results"]["test_accuracy"]["final"] for record in records if record["status"] == "complete"]
        assert len(records) == 6 and 0 < len(good) < 6
        assert all((record["status"] == "diverged") == (record["config"]["settings"]["lr"] > 0.3) for record in records)
        best = yaml.safe_load((tmp_path / "outputs" / "mine" / "optimization_results.yaml").read_text())
        assert best["best_value"] == max(good)


@pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
def test_workers_end_with_their_command(task: Call, warm: Server, tmp_path: Path, number: str) -> None:
    body = "import time\n    for _ in run.epochs(1000):\n        time.sleep(0.05)\n        yield {'test_accuracy': 0.5}"
    assert task(body, "lr=2", "--cfg", "job").returncode == 0  # writes the task
    sweep = ("train.py", "-m", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    process = warm.popen(*sweep, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while len(records := [record_of(folder) for folder in runs(tmp_path)]) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    workers = {record["starts"][-1]["pid"] for record in records} - {process.pid}
    assert len(workers) == 2
    os.kill(process.pid, signal.Signals[number])  # it alone
    process.communicate()
    while not all(map(is_gone, workers)):
        time.sleep(0.02)
    records = [record_of(folder) for folder in runs(tmp_path)]
    assert {record["status"] for record in records} == {"interrupted"}
    assert {record["error"]["message"] for record in records} == {"the command that started this process is gone"}


DESIGN = CONFIG.replace("baseline: a}", "design: leave_one_out, components: {big: {off: {lr: 0}}}}")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("-m", "study.design=leaf"), "study.design=leaf: there is no such design; choose from leave_one_out"),
        ((), "study.design=leave_one_out: makes variants for a sweep; add -m"),
        (("-m", "study.variant=[small]"), "study.variant=small: there is no such component; choose from big"),
        (("-m", "lr=0"), "study.components.big.off: changes nothing: lr is so already"),
        (("-m", "+study.components.other={off: {lr: 2}}"), "study.components: big and other both set lr"),
        (("-m", "+study.metrics.f1={better: higher}", "study.metric=f2"), "study.metric=f2: the task declares f1"),
        (("-m", "+study.metrics.f1={better: up}"), "study.metrics.f1.better=up: there is no such choice"),
        (
            ("-m", "+logger.x._target_=ablate.trackers.nothing.Nothing"),
            "ablate.trackers has no nothing; choose from base",
        ),
        (("-m", "rerun=some"), "rerun=some: there is no such choice"),
    ],
)
def test_what_is_refused_is_refused_before_the_first_run(
    overrides: tuple[str, ...], message: str, task: Call, tmp_path: Path
) -> None:
    done = task("return {'test_accuracy': 0.1 * cfg.lr}", *overrides, config=DESIGN)
    assert done.returncode == 2 and message in done.stderr and not runs(tmp_path)
    assert "Traceback" not in done.stderr


def test_a_task_is_tracked_settled_and_repeated(task: Call, tmp_path: Path) -> None:
    """A plain function of a configuration; its trackers, its plan, and what `rerun` does."""
    config = CONFIG.replace("[ablate_task, _self_]", "[ablate_task, {tracker: tensorboard}, _self_]").replace(
        "baseline: a}", "variants: {a: {}, b: {lr: 3}}, claims: "
        "[{id: c, statement: b is better., expect: b > a}, {id: s, statement: They are one., expect: a = b within 1}]}"
    )  # fmt: skip
    body = "return {'test_accuracy': 0.1 * cfg.lr + 0.001 * cfg.seed * cfg.lr}"
    done = task(body, "-m", "hydra/sweeper=settle", "hydra.sweeper.max_seeds=5", "seed=0,1", config=config)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 claims are settled" in done.stdout and "b  " in done.stdout
    folders = runs(tmp_path)
    assert len(folders) in (8, 10) and all([*folder.rglob("*tfevents*")] for folder in folders)
    assert {record_of(folder)["config"]["settings"]["lr"] for folder in folders} == {1, 3}
    single = ("study.variant=b", "seed=1")
    assert "is complete already" in task(body, *single, config=config).stdout
    again = task(body, *single, "rerun=all", config=config)
    assert "was complete; rerun=all restarts it" in again.stdout and len(runs(tmp_path)) == len(folders)
    other = body.replace("0.001", "0.002")
    stale = task(other, *single, config=config)
    assert "stale: other code of train.py; rerun=stale restarts it" in stale.stdout
    assert task(other, *single, "rerun=stale", config=config).returncode == 0
    (folder,) = [each for each in folders if each.parent.name == "b" and each.name.startswith("seed1")]
    assert RunDirectory(folder).read_epochs()[0]["test_accuracy"] == pytest.approx(0.306)
