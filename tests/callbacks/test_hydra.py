"""The callback in somebody's own Hydra app, run as its user would."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warm import ROOT, Server

from ablate.callbacks.hydra import numbers

PROJECTS = Path(__file__).parents[1] / "sources" / "projects"
CALLBACK = "+hydra.callbacks.ablate._target_=ablate.callbacks.Report"
App = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def app(warm: Server, tmp_path: Path) -> App:
    shutil.copytree(PROJECTS, tmp_path, dirs_exist_ok=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "UNDRAWN": "1"}
    return lambda *overrides: warm.run("plain_project.py", "-m", *overrides, CALLBACK, cwd=tmp_path, env=env)


def content(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_jobs_are_recorded_and_reported_though_one_fails(app: App, tmp_path: Path) -> None:
    done = app(
        "hydra.sweep.dir=multirun",
        "model=wide",
        "model.width=8,32,null",
        "seed=1,2,3",
        "data.since=http://me:secret@host/",
    )
    assert done.returncode == 1 and "TypeError" in done.stderr, "the app's own error stays"
    job = content(tmp_path / "multirun" / "3" / "ablate.json")
    assert job["status"] == "complete" and job["returned"] == {"returned": 32} and job["files"] == ["metrics.csv"]
    assert job["config"]["model"]["width"] == 32 and job["choices"]["model"] == "wide"
    assert job["overrides"][:3] == ["model=wide", "model.width=32", "seed=1"] and job["started"] <= job["ended"]
    assert job["provenance"]["code"]["sources"].keys() == {"ablate", "plain_project.py"}
    assert "secret" not in json.dumps(job)
    failed = content(tmp_path / "multirun" / "8" / "ablate.json")
    assert failed["status"] == "failed" and failed["error"]["type"] == "TypeError"
    results = content(tmp_path / "multirun" / "report" / "results.json")
    (row,) = [row for row in results["comparisons"] if row["metric"] == "val_acc"]
    assert (row["pairs"], row["mean"]) == (3, pytest.approx(0.24))
    assert "8: failed: TypeError: unsupported operand" in done.stdout and "not taken  returned" in done.stdout
    page = (tmp_path / "multirun" / "report" / "report.md").read_text(encoding="utf-8")
    assert "All runs agree in code, packages, machine" in page and "is not recorded, nor" not in page


def test_options_are_those_of_the_report_and_read_before_a_job_starts(app: App, tmp_path: Path) -> None:
    sweep = ["model=plain,wide", "seed=1,2,3", "hydra.output_subdir=null"]
    wrong = app(*sweep, "hydra.sweep.dir=multirun", "+hydra.callbacks.ablate.metrik=x")
    assert wrong.returncode == 2 and "--metrik" in wrong.stderr and not (tmp_path / "multirun").exists()
    done = app(*sweep, "+hydra.callbacks.ablate.metric=['wide=returned',val/acc]", "+hydra.callbacks.ablate.out=judged")
    assert done.returncode == 0, done.stderr
    rows = content(tmp_path / "judged" / "results.json")["comparisons"]
    assert {row["metric"]: row["mean"] for row in rows} == {"wide": 24, "val_acc": pytest.approx(0.24)}
    again = app(*sweep, "hydra.sweep.dir=bare", "+hydra.callbacks.ablate.metric=nothing")
    assert again.returncode == 0 and "--metric nothing: no run has logged it" in again.stderr, "the runs are there"


def test_a_job_that_was_killed_and_one_whose_files_cannot_be_read(app: App, tmp_path: Path, ablate: App) -> None:
    assert app("hydra.sweep.dir=multirun", "model=plain,wide", "seed=1,2,3").returncode == 0
    killed, damaged = tmp_path / "multirun" / "0" / "ablate.json", tmp_path / "multirun" / "1" / "metrics.csv"
    killed.write_text(json.dumps({**content(killed), "status": "running", "ended": None, "returned": {}}))
    damaged.write_text("epoch,val/acc\n0,1\n1\n")
    (tmp_path / "multirun" / "2" / "ablate.json").write_text("{}")
    said = ablate("report", "multirun").stdout
    assert "0: running: its end is not recorded" in said and "1: failed: " in said and "row 3: has 1 cells" in said
    assert "ablate.json: is not of format 1" in said


def test_what_a_job_returns() -> None:
    import numpy as np
    import torch

    assert numbers(torch.tensor(0.5)) == numbers(np.float32(0.5)) == numbers(0.5) == {"returned": 0.5}
    assert numbers({"acc": 1, "note": "x"}) == {"acc": 1.0} and numbers(None) == numbers("3") == numbers(True) == {}
