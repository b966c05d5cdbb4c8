"""The examples of tasks, as a user would run them, and what goes wrong with a task."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from reading_runs import record_of
from warm import Server

from ablate import load_runs
from ablate.__main__ import run_command
from ablate.records.run_directory import RunDirectory
from ablate.seeding import stream_seed

ROOT = Path(__file__).parents[2]
Call = Callable[..., "subprocess.CompletedProcess[str]"]


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
    done = example("forest", "-m", "seed=0,1,2,3,4,5")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "forest" / "outputs" / "forest"
    found, _ = load_runs(study)
    assert found["variant"].value_counts().to_dict() == dict.fromkeys(
        ("forest", "all_features", "no_bootstrap", "one_tree"), 6
    )
    run_command(["report", str(study)])
    results = json.loads((study / "report" / "results.json").read_text(encoding="utf-8"))
    verdicts = {claim["id"]: claim["verdict"] for claim in results["claims"]}
    assert verdicts["trees_matter"] == "supported"  # by more than ten points
    before = [record_of(folder) for folder in runs(study)]
    again = example("forest", "-m", "seed=0,1,2,3,4,5")
    assert (again.stdout + again.stderr).count("is complete already") == 24
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
    def call(body: str, *overrides: str, config: str = CONFIG) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "conf").mkdir(exist_ok=True)
        (tmp_path / "conf" / "config.yaml").write_text(config, encoding="utf-8")
        (tmp_path / "train.py").write_text(TASK.format(body=body), encoding="utf-8")
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
        ("raise OSError('disk')\n    yield {}", CONFIG, "OSError: disk"),
        ("yield {'test_accuracy': 1}", CONFIG.replace("seed: 3\n", "seed: null\n"), "seed is not set: a task"),
    ],
)  # fmt: skip
def test_what_goes_wrong_is_said_and_recorded(body: str, config: str, message: str, task: Call, tmp_path: Path) -> None:
    done = task(body, config=config)
    assert done.returncode == 1 and message in done.stderr
    assert all(record_of(folder)["status"] == "failed" for folder in runs(tmp_path))
